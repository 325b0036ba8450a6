"""The objects of the spool: how they are listed, read and found, and how long that may take."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Final

from lib.breaker import Breaker
from lib.errors import StorageUnavailable
from lib.settings import Settings
from lib.turns import EndedTurn

if TYPE_CHECKING:
    from lib.auth.seal import Seal
    from lib.files.storage import Storage, Stored
    from lib.spool.record import Name

KEEP: Final = 2.0
"""Seconds that a turn may take to be kept: its reader waits for the last event."""
FIND: Final = 1.0
"""Seconds that a look for a turn under a key, or for those of a conversation, may take."""
REQUEST: Final = 0.9
"""Seconds for one request: one that a connection swallows that died while we were frozen is sent again in time."""
CONNECT: Final = 0.5

LISTED: Final = 100_000
"""Objects that one list reads at most: more than there may be, whatever the bounds are set to."""
SAME_KEY: Final = 16
"""Turns under one key that are read at most."""


_log = logging.getLogger("parley.spool")


class Objects:
    """What waits, in storage that is opened when it is first needed."""

    def __init__(self, open_storage: "Callable[[], Storage]", seal: "Callable[[], Seal]") -> None:
        """Keep what opens the storage, and what gives the seal."""
        self._open_storage = open_storage
        self._make_seal = seal

    @cached_property
    def storage(self) -> "Storage":
        """Where the objects are.

        Raises:
            StorageUnavailable: it cannot be opened, as with each of the calls below.
        """
        return self._open_storage()

    @property
    def seal(self) -> "Seal":
        """What seals the turns."""
        return self._make_seal()

    async def list_below(self, prefix: str) -> "list[Stored]":
        """Return all objects below a prefix."""
        return await self.storage.list_below(prefix, limit=LISTED)

    async def names(self, prefix: str) -> "list[Name]":
        """Return the names of all turns below a prefix."""
        return _named(await self.list_below(prefix))

    async def first_names(self) -> "list[Name]":
        """Return the names of what waits, as many as one request tells.

        Raises:
            TimeoutError: storage does not say so in time.
        """
        from lib.files.storage import PAGE
        from lib.spool.record import WAITING

        async with asyncio.timeout(FIND):
            return _named(await self.storage.list_below(WAITING, limit=PAGE))

    async def find(self, key_hash: bytes) -> EndedTurn | None:
        """Return the turn that waits under a key, the most complete one.

        Raises:
            TimeoutError: storage does not say so in time.
        """
        from lib.spool.record import best_of, waiting_under

        async with asyncio.timeout(FIND):
            objects = await self.storage.list_below(waiting_under(key_hash), limit=SAME_KEY)
            found = await asyncio.gather(*(self._read(name) for name in _named(objects)))
        return best_of(turn for turn in found if turn and turn.turn.key and turn.turn.key.key_hash == key_hash)

    async def _read(self, name: "Name") -> EndedTurn | None:
        from lib.spool.record import TooNew, Unreadable, read

        sealed = await self.storage.get(name.waiting)
        try:
            return None if sealed is None else read(name, sealed, self.seal)
        except (Unreadable, TooNew):
            return None  # the replay says so


def open_at(place: str, settings: Settings) -> "Storage":
    """Open the storage at a place, as `SPOOL_URL` writes it.

    Raises:
        StorageUnavailable: the folder cannot be made.
    """
    from lib.files.storage import Limits, Storage

    return Storage.at(place, settings, Limits(operation=KEEP, request=REQUEST, connect=CONNECT, retries=1))


async def in_passing[T](breaker: Breaker, look: Callable[[], Awaitable[T]]) -> T | None:
    """Look into storage for somebody who waits for something else; None where that does not say.

    A storage that is away costs its time once a while, and not each of them.
    """
    call = breaker.enter()
    if call is None:
        return None
    with call:
        try:
            found = await look()
        except (StorageUnavailable, TimeoutError) as error:
            call.failed(waited=isinstance(error, TimeoutError))
            _log.warning("nobody knows what waits: storage is away")
            return None
        call.answered()
        return found


def _named(objects: "list[Stored]") -> "list[Name]":
    from lib.spool.record import Name

    return [name for each in objects if (name := Name.read(each.key))]
