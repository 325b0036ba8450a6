"""Work that goes on when the request that began it is cancelled, and that an instance ends with."""

import asyncio
from collections.abc import Coroutine
from typing import Any

_under_way: set[asyncio.Task[Any]] = set()


def begin[T](work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin `work` in a task of its own, which nobody has to wait for."""
    task = asyncio.create_task(work)
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return task


async def unhindered[T](work: Coroutine[Any, Any, T]) -> T:
    """Do `work` in a task of its own: when the client leaves, its request is cancelled and the work goes on."""
    return await asyncio.shield(begin(work))


async def settle() -> None:
    """Wait for all such work: the last thing an instance does."""
    if _under_way:
        await asyncio.wait(tuple(_under_way))
