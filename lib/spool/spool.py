"""Where turns wait while the database is away: object storage, each turn one object, sealed."""

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, Self
from uuid import UUID

from lib.breaker import Breaker
from lib.errors import Busy, StorageUnavailable
from lib.settings import Settings
from lib.spool.objects import FIND, KEEP, Objects, in_passing, open_at
from lib.spool.outlook import Outlook
from lib.turns import EndedTurn
from lib.unhindered import unless_hurried

# What a healthy turn never needs is imported when it is needed.
if TYPE_CHECKING:
    from lib.auth.seal import Seal
    from lib.db.session import Database
    from lib.files.storage import Storage
    from lib.spool.outlook import Look
    from lib.spool.recent import Recent
    from lib.spool.record import Count, Name, Replayed
    from lib.spool.replay import Bounds, Replay
    from lib.spool.room import Room, Standing

RECKON: Final = 0.2
"""Seconds of `KEEP` for finding out whether there is room. Who does not know goes on."""
WRITES: Final = 16
"""Turns that are written at a time. When a database goes away they end together, and as many new connections at once
would get in each other's way: of 200 turns a slow storage took 154 so, and all of them 16 by 16."""
STANDING: Final = 1.0
"""Seconds that the metrics wait to hear what waits."""

REPLAY: Final = 8.0
"""Seconds after which a replay begins with no further turn, unless it is told otherwise."""
RECORDS: Final = 200
"""Turns after which it ends, likewise."""
JOB: Final = 18.0
"""Seconds that the job takes for it: a function on AWS Lambda has 29, and the last turn may take some."""
REASONS: Final = 1000
"""Turns of which it is remembered why they were not kept: those whose save is still under way."""
AGAIN: Final = 5
"""Seconds after which a job may come again that another has left no time."""

Unkept = Literal["full", "unwritable"]

_log = logging.getLogger("parley.spool")


class Spool:
    """Keeps turns for the database. Safe to share, also between instances, which all see the same turns."""

    def __init__(
        self,
        open_storage: Callable[[], "Storage"],
        seal: Callable[[], "Seal"],
        *,
        max_records: int,
        max_bytes: int,
        retention: int,
    ) -> None:
        """Wire it up. Nothing is opened before there is something to keep or to look for.

        Args:
            open_storage: opens the storage; it may raise `StorageUnavailable`.
            seal: gives what seals the turns.
            max_records: how many may wait.
            max_bytes: how many bytes they may take.
            retention: how many conversations a user keeps, who may get new ones from here.
        """
        self._objects = Objects(open_storage, seal)
        self._retention = retention
        self._max_records = max_records
        self._max_bytes = max_bytes
        self.counts: Counter[Count] = Counter()
        self._outlook = Outlook()
        self._writing = asyncio.Semaphore(WRITES)
        # Who looks for a key must not pay for those who make up conversations, of which a look costs more.
        self._finding, self._recently = Breaker(), Breaker()
        self._unkept: dict[UUID, Unkept] = {}
        self._put_off: frozenset[str] = frozenset()

    @classmethod
    def from_settings(cls, settings: Settings, seal: Callable[[], "Seal"]) -> Self | None:
        """Return the spool of a deployment; None where turns wait nowhere."""
        from lib.spool.record import place_of

        place = place_of(settings)
        if place is None:
            return None
        return cls(
            lambda: open_at(place, settings),
            seal,
            max_records=settings.spool_max_records,
            max_bytes=settings.spool_max_mb * 1_000_000,
            retention=settings.retention_conversations,
        )

    @cached_property
    def room(self) -> "Room":
        """How much there is, and how much more may be."""
        from lib.spool.room import Room

        return Room(self._objects.list_below, max_records=self._max_records, max_bytes=self._max_bytes)

    @cached_property
    def _recent(self) -> "Recent":
        from lib.spool.recent import Recent

        return Recent(self._objects.first_names)

    @property
    def holds(self) -> bool:
        """Whether turns may wait, as far as this instance knows: until a look has found none that may come in soon."""
        return self._outlook.holds

    @property
    def due(self) -> bool:
        """Whether it is time to look for turns that wait: when some may, and now and then in any case."""
        return self._outlook.due

    async def keep(self, ended: EndedTurn) -> bool:
        """Keep a turn for the database, in one write; return whether it is kept.

        It takes `KEEP` seconds at most. Why it is not kept is told by `lost`, if nobody else keeps it.
        """
        reason: Unkept = "unwritable"
        try:
            with self._outlook.keeping():
                async with asyncio.timeout(KEEP):
                    if await self._write(ended):
                        return True
                    reason = "full"
        except (StorageUnavailable, TimeoutError):
            pass  # the storage has said so in the log
        except Exception:  # a caller has nowhere else to put the turn
            _log.exception("a turn could not be written")
        self._unkept[ended.turn.answer_id] = reason
        if len(self._unkept) > REASONS:
            del self._unkept[next(iter(self._unkept))]
        return False

    def lost(self, ended: EndedTurn) -> None:
        """Say that a turn which was not kept here is kept nowhere else: in the log, and in the counts."""
        reason = self._unkept.pop(ended.turn.answer_id, "unwritable")
        self.counts[reason] += 1
        _log.error("turn %s is lost: the spool is %s", ended.turn.answer_id, reason)

    async def find(self, key_hash: bytes) -> EndedTurn | None:
        """Return the turn that waits under a key, the most complete one; None also where storage does not say so."""
        return await in_passing(self._finding, lambda: self._objects.find(key_hash))

    async def replay(
        self,
        database: "Database",
        *,
        within: float = REPLAY,
        most: int = RECORDS,
        aside: bool = False,
        past_breaker: bool = False,
    ) -> "Replayed":
        """Bring what waits into the database, as much as the bounds allow; it never raises for what is away.

        It may run at any time, and in several instances at once; while it runs in this one, a second call returns. It
        stops where the database or the storage is away, or the instance has to end; nothing is lost by that.

        Args:
            database: where the turns go.
            within: seconds after which no further turn is begun with.
            most: turns that have gone after which it ends.
            aside: bring back first what was set aside.
            past_breaker: ask the database also while it is taken to be away.
        """
        from lib.spool.record import Replayed
        from lib.spool.replay import Bounds

        if self._outlook.looking:
            return Replayed(left=self._outlook.left)
        until = time.monotonic() + within

        async def bring_in(hurried: "Callable[[], bool]") -> "Replayed":
            bounds = Bounds(until, most, self._retention, hurried, past_breaker)
            return await self._bring_in(database, bounds, aside, look)

        with self._outlook.look() as look:
            replayed = await unless_hurried(bring_in)
        return replayed or Replayed(left=self._outlook.left)

    async def replay_all(self, database: "Database", *, within: float = JOB, aside: bool = False) -> "Replayed":
        """Replay without a bound of turns, after one that is under way here: for somebody who wants to know.

        Args:
            database: where the turns go.
            within: seconds for all of it.
            aside: bring back first what was set aside.

        Raises:
            Busy: the one that is under way takes all the time.
        """
        until = time.monotonic() + within
        if not await self._outlook.idle(within):
            raise Busy("Turns are being brought in already. Try again shortly.", retry_after=AGAIN)
        left = until - time.monotonic()
        return await self.replay(database, within=left, most=sys.maxsize, aside=aside, past_breaker=True)

    async def replay_conversation(self, database: "Database", conversation_id: UUID) -> bool:
        """Bring in what waits of one conversation; return whether it may be in the database now.

        For somebody who waits: it takes `FIND` seconds or a little more, and looks at the first thousand turns alone.
        """
        running = self._outlook.looking
        gone = await in_passing(self._recently, lambda: self._replay_one(database, conversation_id))
        return gone is not None and (running or gone > 0)

    async def standing(self) -> "Standing | None":
        """Return how much waits, as of some seconds ago; None where storage does not say so at once."""
        return await self.room.standing(STANDING)

    async def _replay_one(self, database: "Database", conversation_id: UUID) -> int:
        """Bring in what was seen of a conversation a moment ago; return how much of that waits no longer."""
        from lib.spool.replay import Bounds

        names = await self._recent.of(conversation_id)
        if not names:
            return 0
        until = time.monotonic() + FIND

        async def bring_in(hurried: "Callable[[], bool]") -> int:
            replay = self._run_within(database, Bounds(until, RECORDS, self._retention, hurried))
            await self._run(replay, names)
            return replay.gone

        return await unless_hurried(bring_in) or 0

    async def _bring_in(self, database: "Database", bounds: "Bounds", aside: bool, look: "Look") -> "Replayed":
        from lib.spool.record import ASIDE, WAITING, Replayed

        try:
            replay = self._run_within(database, bounds)
            if aside:
                await replay.bring_back(await self._objects.names(ASIDE))
            await self._run(replay, await self._objects.names(WAITING))
        except StorageUnavailable as error:
            return Replayed(left=self._outlook.left, halted=error)
        self._put_off = replay.put_off
        replayed = replay.replayed
        look.found(left=replayed.left, soon=replay.soon, gone=replay.gone)
        return replayed

    def _run_within(self, database: "Database", bounds: "Bounds") -> "Replay":
        from lib.spool.replay import Replay

        return Replay(self._objects.storage, self._objects.seal, database, bounds)

    async def _run(self, replay: "Replay", names: "list[Name]") -> None:
        try:
            await replay.run(names, last=self._put_off)
        finally:
            self.counts += replay.counts
            if replay.gone:
                self.room.changed()

    async def _write(self, ended: EndedTurn) -> bool:
        from lib.spool.record import Name, write

        name = Name.of(ended.turn)
        sealed = write(ended, self._objects.seal)
        if not await self.room.fits(len(sealed), RECKON, guest=name.guest):
            return False
        with self.room.taken(name.waiting, len(sealed)):
            async with self._writing:
                await self._objects.storage.put(name.waiting, sealed)
        self.counts["spooled"] += 1
        self._recent.changed()
        return True
