"""How object storage is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from lib.errors import StorageUnavailable
from lib.files.storage import Storage
from lib.health.probe import LIMIT, Reading, Unwell, not_configured, timed
from lib.ids import new_id

SLOW: Final = 1.0
KEY: Final = f"health/{new_id()}"
"""The object of this process, one for all of its looks: what one could not delete, the next one does."""
CONTENT: Final = b"Parley writes this to see whether it can."
_HIDDEN: Final = "refuses our key: AccessDenied"
"""What S3 says of an object that is not there to a key that may not list the bucket."""

StorageOf = Callable[[], Storage | None]


async def read_storage(storage_of: StorageOf) -> Reading:
    """Write a tiny object, read it back and delete it."""
    return await _read(storage_of, _use)


async def read_reach(storage_of: StorageOf) -> Reading:
    """Read an object that need not be there: that shows that the storage answers, and knows our key."""
    return await _read(storage_of, _look)


async def _read(storage_of: StorageOf, attempt: Callable[[Storage], Awaitable[None]]) -> Reading:
    try:
        storage = storage_of()  # which loads a client the first time, and that is no latency of the storage's
    except StorageUnavailable as error:
        return Reading("down", detail=_said(error))
    if storage is None:
        return not_configured("S3_BUCKET is not set, so files cannot be kept.")

    async def ask() -> None:
        try:
            async with asyncio.timeout(LIMIT):
                await attempt(storage)
        except TimeoutError:
            raise Unwell(f"There was no answer within {LIMIT:g} s.") from None
        except StorageUnavailable as error:
            raise Unwell(_said(error)) from None

    return await timed(ask, slow=SLOW)


def _said(error: StorageUnavailable) -> str:
    return f"The storage {error.reason}."


async def _use(storage: Storage) -> None:
    await storage.put(KEY, CONTENT)
    if await storage.get(KEY) != CONTENT:
        raise Unwell("What was written is not what is read back.")
    await storage.delete(KEY)


async def _look(storage: Storage) -> None:
    try:
        await storage.get(KEY)
    except StorageUnavailable as error:
        if error.reason != _HIDDEN:
            raise
