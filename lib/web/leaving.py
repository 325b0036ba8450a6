"""What happens when the client goes away, or the instance has to: the work for it stops, and keeps what it has."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from starlette.types import Receive

from lib.unhindered import at_once, hurry

_under_way: set[asyncio.Task[Any]] = set()
_told_to_end = threading.Event()


async def while_client_stays[T](
    work: Coroutine[Any, Any, T], receive: Receive, *, on_leave: Callable[[], None] | None = None
) -> T | None:
    """Do `work` and return what it gives; cancel it and return None when the client leaves first.

    It returns once the work has ended either way, so what the work does on being cancelled is done. With `on_leave` the
    work is to be finished without its client: that is called in place of the cancelling. An instance that has to end
    cancels it all the same.
    """
    working = at_once(work)
    leaving = at_once(_leaves(receive))
    _under_way.add(working)
    working.add_done_callback(_under_way.discard)
    if _told_to_end.is_set():
        _cancel(working)
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if on_leave is not None and not working.done():
            on_leave()
            await asyncio.wait((working,))
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.wait((working, leaving))
    return None if working.cancelled() else working.result()


async def stop_all() -> None:
    """Cancel all such work and wait until it has ended: a server that shuts down does not wait for it itself."""
    stopping = tuple(_under_way)
    _cancel_all()
    if stopping:
        await asyncio.wait(stopping)


@contextmanager
def stopping_on_sigterm() -> Generator[None]:
    """While inside, SIGTERM cancels all such work at once, and then does what it would have done.

    A server that is told to end waits for its open responses before it shuts the app down; uvicorn on Vercel waits for
    them without a limit, and half a second later the platform kills it. Where nothing handles SIGTERM it ends the
    process, and stays so; outside the main thread it cannot be handled.
    """
    inherited = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(inherited):
        yield
        return
    loop = asyncio.get_running_loop()

    def end(number: int, frame: FrameType | None) -> None:
        _told_to_end.set()
        loop.call_soon_threadsafe(_cancel_all)
        inherited(number, frame)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, inherited)
        _told_to_end.clear()


def _cancel_all() -> None:
    hurry()
    for working in _under_way:
        _cancel(working)


def _cancel(working: asyncio.Task[Any]) -> None:
    """Cancel the task after its first step: before it, what the task would keep on being cancelled is lost."""
    asyncio.get_running_loop().call_soon(working.cancel)


async def _leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
