"""How much room is left in the spool, as of the last look at it and our own writes since."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from lib.errors import StorageUnavailable
from lib.files.storage import Stored
from lib.spool.record import ASIDE, WAITING, Name
from lib.unhindered import begin

FRESH: Final = 5.0
"""Seconds for which a look counts."""
GUESTS: Final = 4
"""Guests get at most one part in so many of the room: nobody knows who they are, nor how many."""

_log = logging.getLogger("parley.spool")

ListBelow = Callable[[str], Awaitable[list[Stored]]]


@dataclass(frozen=True, slots=True)
class Standing:
    """The turns that wait, those that were set aside, and the bytes of each; of all these, what is of guests."""

    waiting: int = 0
    waiting_bytes: int = 0
    aside: int = 0
    aside_bytes: int = 0
    guests: int = 0
    guests_bytes: int = 0


class Room:
    """What there is, and whether more fits. It costs a look at the spool once in a while, and not once a turn."""

    def __init__(self, list_below: ListBelow, *, max_records: int, max_bytes: int) -> None:
        """Keep what lists the objects below a prefix, and the bounds."""
        self._list_below = list_below
        self.max_records = max_records
        self.max_bytes = max_bytes
        self._standing: Standing | None = None
        self._looked_at = -math.inf
        self._looking: asyncio.Task[None] | None = None
        self._own: dict[str, int] = {}  # the sizes of our writes that the last look did not see
        self._written: set[str] = set()  # those of them that are over

    async def standing(self, within: float) -> Standing | None:
        """Return what there is, as of some seconds ago; None when nobody says so within these seconds."""
        seen = await self._seen(within)
        if seen is None:
            return None
        own, guests = list(self._own.values()), [taken for key, taken in self._own.items() if _is_guests(key)]
        return replace(
            seen,
            waiting=seen.waiting + len(own),
            waiting_bytes=seen.waiting_bytes + sum(own),
            guests=seen.guests + len(guests),
            guests_bytes=seen.guests_bytes + sum(guests),
        )

    async def fits(self, size: int, within: float, *, guest: bool = False) -> bool:
        """Say whether one more object of `size` bytes fits, of a guest in what guests may take.

        What was seen last is believed for longer where it says yes; a no is made sure of. Where nobody says within
        these seconds what there is, our own writes since the last look are all that counts.
        """
        if self._standing is not None and self._has(self._standing, size, guest):
            if not self._is_fresh():
                self._look()
            return True
        return self._has(await self._seen(within) or Standing(), size, guest)

    @contextmanager
    def taken(self, key: str, size: int) -> Generator[None]:
        """Take room for an object while it is written, and from then on if it was."""
        self._own[key] = size
        try:
            yield
        except BaseException:
            self._own.pop(key, None)
            raise
        if key in self._own:
            self._written.add(key)

    def changed(self) -> None:
        """Say that there is less than was seen: before anything is found full, it is looked at again."""
        self._looked_at = -math.inf

    async def _seen(self, within: float) -> Standing | None:
        """Return what the last look saw, which none of our own writes since is part of."""
        if not self._is_fresh():
            await asyncio.wait((self._look(),), timeout=within)
        return self._standing if self._is_fresh() else None

    def _has(self, there: Standing, size: int, guest: bool) -> bool:
        records = there.waiting + there.aside + len(self._own)
        used = there.waiting_bytes + there.aside_bytes + sum(self._own.values())
        if records + 1 > self.max_records or used + size > self.max_bytes:
            return False
        return not guest or self._has_for_guests(there, size)

    def _has_for_guests(self, there: Standing, size: int) -> bool:
        own = [taken for key, taken in self._own.items() if _is_guests(key)]
        records, used = there.guests + len(own), there.guests_bytes + sum(own)
        return GUESTS * (records + 1) <= self.max_records and GUESTS * (used + size) <= self.max_bytes

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._looked_at < FRESH

    def _look(self) -> asyncio.Task[None]:
        """Begin a look, or join the one that is under way."""
        if self._looking is None or self._looking.done():
            self._looking = begin(self._see())
        return self._looking

    async def _see(self) -> None:
        before = set(self._written)  # either seen now, or replayed meanwhile
        try:
            waiting, aside = await asyncio.gather(self._list_below(WAITING), self._list_below(ASIDE))
        except StorageUnavailable as error:
            _log.warning("nobody knows how much room is left in the spool: it %s", error.reason)
            return
        for key in before.union(stored.key for stored in waiting):
            self._own.pop(key, None)
            self._written.discard(key)
        guests = [each for each in (*waiting, *aside) if _is_guests(each.key)]
        self._standing = Standing(*_sum(waiting), *_sum(aside), *_sum(guests))
        self._looked_at = time.monotonic()


def _sum(objects: list[Stored]) -> tuple[int, int]:
    """Return how many objects there are, and their bytes."""
    return len(objects), sum(each.size for each in objects)


def _is_guests(key: str) -> bool:
    name = Name.read(key)
    return name is not None and name.guest
