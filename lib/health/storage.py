"""How object storage is."""

import asyncio
from collections.abc import Callable
from typing import Final

from lib.errors import StorageUnavailable
from lib.files.storage import Storage
from lib.health.probe import LIMIT, Reading, Unwell, not_configured, timed
from lib.ids import new_id

SLOW: Final = 1.0
PREFIX: Final = "health"
"""Where the object is written; what a probe could not delete lies there."""


async def read_storage(storage_of: Callable[[], Storage | None]) -> Reading:
    """Write a tiny object, read it back and delete it."""
    try:
        storage = storage_of()  # which loads a client the first time, and that is no latency of the storage's
    except StorageUnavailable as error:
        return Reading("down", detail=_said(error))
    if storage is None:
        return not_configured("S3_BUCKET is not set, so files cannot be kept.")

    async def ask() -> None:
        try:
            async with asyncio.timeout(LIMIT):
                await _try(storage)
        except TimeoutError:
            raise Unwell(f"There was no answer within {LIMIT:g} s.") from None
        except StorageUnavailable as error:
            raise Unwell(_said(error)) from None

    return await timed(ask, slow=SLOW)


def _said(error: StorageUnavailable) -> str:
    return f"The storage {error.reason}."


async def _try(storage: Storage) -> None:
    key, content = f"{PREFIX}/{new_id()}", b"Parley writes this to see whether it can."
    await storage.put(key, content)
    if await storage.get(key) != content:
        raise Unwell("What was written is not what is read back.")
    await storage.delete(key)
