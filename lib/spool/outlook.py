"""Whether turns may wait, as far as one instance knows, and when it is time to look."""

import asyncio
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

LOOK_EVERY: Final = 300.0
"""Seconds after which an instance that knows of no turn that waits looks for those of others."""
PAUSE: Final = 5.0
"""Seconds until the next look after one that could bring nothing in."""


class Outlook:
    """What an instance expects of the spool. A fresh one knows nothing, so turns may wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without having looked."""
        self._clock = clock
        self._looked_at = -math.inf
        self._in_vain = False
        self._begun = self._under_way = 0
        self.holds = True
        """Whether turns may wait that can come in soon: until a look has found none, and from the next kept here on."""
        self._idle = asyncio.Event()
        self._idle.set()
        self.left = 0
        """How many turns the last look has left."""

    @property
    def looking(self) -> bool:
        """Whether a look is under way."""
        return not self._idle.is_set()

    async def idle(self, within: float) -> bool:
        """Wait until no look is under way, so many seconds at most; return whether none is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.looking:  # another who waited may have begun one
                    await self._idle.wait()
        return not self.looking

    @property
    def due(self) -> bool:
        """Whether it is time to look: when turns may wait, and now and then in any case."""
        since = self._clock() - self._looked_at
        soon = self.holds and not (self._in_vain and since < PAUSE)
        return not self.looking and (soon or since > LOOK_EVERY)

    @contextmanager
    def keeping(self) -> Generator[None]:
        """Note that a turn is being kept, which no look that is under way has to see."""
        self.holds = True
        self._begun += 1
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @contextmanager
    def look(self) -> Generator["Look"]:
        """Look, and tell the look what it finds. One that finds nothing out was in vain."""
        self._idle.clear()
        look, quiet, begun = Look(), self._under_way == 0, self._begun
        try:
            yield look
        finally:
            self._idle.set()
            self._looked_at = self._clock()
            self._in_vain = not look.brought_in
            if look.left is not None:
                self.left = look.left
                self.holds = look.soon > 0 or not quiet or self._begun != begun
                self._in_vain = look.left > 0 and not look.brought_in


class Look:
    """What one look found out: nothing, until it is told."""

    def __init__(self) -> None:
        """Begin."""
        self.left: int | None = None
        self.soon = 0
        self.brought_in = False

    def found(self, *, left: int, soon: int, gone: int) -> None:
        """Tell how many turns are left, how many of them may come in soon, and how many wait no longer."""
        self.left, self.soon, self.brought_in = left, soon, gone > 0
