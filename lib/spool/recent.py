"""What waits of one conversation, for who asks in passing: one small look serves all who ask within a moment."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import UUID

from lib.spool.record import Name, hashed
from lib.unhindered import begin

MEMORY: Final = 2.0
"""Seconds for which a look is remembered: names that a stranger makes up cost one each so many seconds."""


class Recent:
    """The names of what waits, as of a moment ago."""

    def __init__(
        self, look: Callable[[], Coroutine[Any, Any, list[Name]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep what lists them."""
        self._look = look
        self._clock = clock
        self._looked_at = -math.inf
        self._looking: asyncio.Task[list[Name]] | None = None

    async def of(self, conversation_id: UUID) -> list[Name]:
        """Return the names of a conversation's turns.

        Raises:
            StorageUnavailable, TimeoutError: nobody knows; remembered likewise.
        """
        if self._looking is None or self._clock() - self._looked_at > MEMORY:
            self._looked_at = self._clock()
            self._looking = begin(self._look())
            self._looking.add_done_callback(_heard)
        looking = self._looking
        await asyncio.wait((looking,))
        conversation = hashed(conversation_id)
        return [name for name in looking.result() if name.conversation == conversation]

    def changed(self) -> None:
        """Forget: there is more than was seen."""
        self._looking = None


def _heard(looking: asyncio.Task[list[Name]]) -> None:
    """Take note of how a look ended, also when all who waited for it have left."""
    if not looking.cancelled():
        looking.exception()
