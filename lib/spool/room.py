"""How much room is left in the spool, as of the last look at it and our own writes since."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from lib.errors import StorageUnavailable
from lib.files.storage import Stored
from lib.spool.record import ASIDE, WAITING
from lib.unhindered import begin

FRESH: Final = 5.0
"""Seconds for which a look counts."""

_log = logging.getLogger("parley.spool")

ListBelow = Callable[[str], Awaitable[list[Stored]]]


@dataclass(frozen=True, slots=True)
class Standing:
    """The turns that wait, those that were set aside, and the bytes of each."""

    waiting: int = 0
    waiting_bytes: int = 0
    aside: int = 0
    aside_bytes: int = 0


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
        if not self._is_fresh():
            await asyncio.wait((self._look(),), timeout=within)
        return self._standing if self._is_fresh() else None

    async def fits(self, size: int, within: float) -> bool:
        """Say whether one more object of `size` bytes fits.

        What was seen last is believed for longer where it says yes; a no is made sure of. Where nobody says within
        these seconds what there is, our own writes since the last look are all that counts.
        """
        if self._standing is not None and self._has(self._standing, size):
            if not self._is_fresh():
                self._look()
            return True
        return self._has(await self.standing(within) or Standing(), size)

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

    def _has(self, there: Standing, size: int) -> bool:
        records = there.waiting + there.aside + len(self._own)
        used = there.waiting_bytes + there.aside_bytes + sum(self._own.values())
        return records < self.max_records and used + size <= self.max_bytes

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
        sizes, aside_sizes = [each.size for each in waiting], [each.size for each in aside]
        self._standing = Standing(len(sizes), sum(sizes), len(aside_sizes), sum(aside_sizes))
        self._looked_at = time.monotonic()
