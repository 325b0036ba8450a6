"""The answers that this instance is writing: kept as they grow, so that any instance can show and stop them.

One statement a beat serves all of them, however many there are: it keeps what came since the last, and learns who has
to stop. An answer that is shorter than a beat costs nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

from lib.chat.batches import pack
from lib.chat.events import ReasoningDelta, TextDelta, TurnEvent
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.errors import DatabaseBusy, DatabaseUnavailable
from lib.store import streams
from lib.store.streams import Batch
from lib.unhindered import begin

BEAT: Final = 0.25
"""Seconds between two statements."""
LONGEST_WAIT: Final = 4_000_000
"""Characters of an answer that wait for a database that is away. What is more is shown when the answer is over."""

_log = logging.getLogger("parley.chat")


class Writing:
    """An answer that is being written."""

    def __init__(self, answer_id: UUID, team_id: UUID, stop: Callable[[], None]) -> None:
        """Begin with nothing written. `stop` has whoever writes it end it."""
        self.answer_id = answer_id
        self.stop = stop
        self._team_id = team_id
        self._events: list[TurnEvent] = []
        self._waiting = 0
        self._overflown = False
        self._number = 0
        self._batch: Batch | None = None

    def add(self, event: TurnEvent) -> TurnEvent:
        """Note what happened next, and return it."""
        if isinstance(event, TextDelta | ReasoningDelta):
            self._waiting += len(event.text)
        self._overflown = self._overflown or self._waiting > LONGEST_WAIT
        if not self._overflown:
            self._events.append(event)
        return event

    def batch(self) -> Batch | None:
        """Return what came since the last batch that was kept; the same again until it is kept.

        A statement that seemed to fail may have been heard: under its number the same events have to come again.
        """
        if self._batch is None and self._events:
            self._number += 1
            self._batch = Batch(self.answer_id, self._team_id, self._number, pack(self._events))
            self._events, self._waiting = [], 0
        return self._batch

    def kept(self) -> None:
        """Say that the batch is kept."""
        self._batch = None


class UnderWay:
    """All of them, and the task that beats while there are any."""

    def __init__(self, database: Database) -> None:
        """Begin with none."""
        self._database = database
        self._writing: dict[UUID, Writing] = {}
        self._none_left = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None
        self._statement: asyncio.Task[None] | None = None

    def begins(self, answer_id: UUID, team_id: UUID, stop: Callable[[], None]) -> Writing:
        """Return where to note what happens to an answer that is begun. It has to end with `ends`."""
        writing = self._writing[answer_id] = Writing(answer_id, team_id, stop)
        self._none_left.clear()
        if self._beating is None or self._beating.done():
            self._beating = begin(self._beat())
        return writing

    async def ends(self, answer_id: UUID) -> None:
        """Note no more of an answer, and return when nothing more of it can be kept: the whole answer is next."""
        self._writing.pop(answer_id, None)
        if not self._writing:
            self._none_left.set()
        if self._statement is not None:
            await asyncio.wait((self._statement,))

    async def _beat(self) -> None:
        while self._writing:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._none_left.wait()
            if self._writing:
                self._statement = begin(self._keep())
                await self._statement
                self._statement = None

    async def _keep(self) -> None:
        writings = tuple(self._writing.values())
        batches = {writing.answer_id: batch for writing in writings if (batch := writing.batch())}
        try:
            async with self._database.one_statement(EVERY_TEAM) as connection:
                stopped = await streams.beat(connection, list(batches.values()), [each.answer_id for each in writings])
        except (DatabaseUnavailable, DatabaseBusy):
            return  # the next beat tries again; the answers go on
        except Exception:
            _log.exception("answers under way could not be kept")
            return
        for writing in writings:
            if writing.answer_id in batches:
                writing.kept()
            if writing.answer_id in stopped:
                writing.stop()
