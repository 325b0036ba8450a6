"""What happens when the client goes away, or the instance has to: the work for it stops, and keeps what it has."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive

_under_way: set[asyncio.Task[Any]] = set()


async def while_client_stays[T](work: Coroutine[Any, Any, T], receive: Receive) -> T | None:
    """Do `work` and return what it gives; cancel it and return None when the client leaves first.

    It returns once the work has ended either way, so what the work does on being cancelled is done.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(_leaves(receive))
    _under_way.add(working)
    working.add_done_callback(_under_way.discard)
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.wait((working, leaving))
    return None if working.cancelled() else working.result()


async def stop_all() -> None:
    """Cancel all such work and wait until it has ended: a server that shuts down does not wait for it itself."""
    stopping = tuple(_under_way)
    for working in stopping:
        working.cancel()
    if stopping:
        await asyncio.wait(stopping)


async def _leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
