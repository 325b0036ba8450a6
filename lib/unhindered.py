"""Work that goes on when the request that began it is cancelled, and that an instance ends with."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, Final

LAST_MOMENT: Final = 0.1
"""Seconds that work still has when there is no more time."""

_under_way: set[asyncio.Task[Any]] = set()
_waiting: set[asyncio.Future[None]] = set()


def begin[T](work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin `work` at once, in a task of its own, which nobody has to wait for."""
    task = at_once(work)
    if not task.done():
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)
    return task


def at_once[T](work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Make a task of `work` that has begun: whoever waits for it waits for one turn of the event loop less."""
    return asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)


async def unhindered[T](work: Coroutine[Any, Any, T]) -> T:
    """Do `work` in a task of its own: when the client leaves, its request is cancelled and the work goes on."""
    return await asyncio.shield(begin(work))


async def done_within(task: asyncio.Task[Any], seconds: float) -> bool:
    """Wait for a task for so long, or until there is no more time (`hurry`); say whether it is done. It goes on."""
    with _no_more_time() as no_time:
        return await _done_in_time(task, no_time, seconds)


async def unless_hurried[T](work: Callable[[Callable[[], bool]], Coroutine[Any, Any, T]]) -> T | None:
    """Do work that may be broken off; return None when it was, for there is no more time (`hurry`).

    It is given what says so, and has `LAST_MOMENT` seconds then to end of itself.
    """
    with _no_more_time() as no_time:
        task = begin(work(no_time.done))
        try:
            await _done_in_time(task, no_time, None)
        finally:
            task.cancel()
        await asyncio.wait((task,))
    return None if task.cancelled() else task.result()


def hurry() -> None:
    """Have nobody wait any longer for what may not come: the instance has to end."""
    for no_time in _waiting:
        if not no_time.done():
            no_time.set_result(None)


async def settle() -> None:
    """Wait for all such work: the last thing an instance does."""
    if _under_way:
        await asyncio.wait(tuple(_under_way))


@contextmanager
def _no_more_time() -> Generator[asyncio.Future[None]]:
    """Give what is done as soon as somebody says that there is no more time: of an earlier time it knows nothing."""
    no_time = asyncio.get_running_loop().create_future()
    _waiting.add(no_time)
    try:
        yield no_time
    finally:
        _waiting.discard(no_time)


async def _done_in_time(task: asyncio.Task[Any], no_time: asyncio.Future[None], seconds: float | None) -> bool:
    await asyncio.wait((task, no_time), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if no_time.done() and not task.done():
        await asyncio.wait((task,), timeout=LAST_MOMENT)
    return task.done()
