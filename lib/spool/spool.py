"""Where turns wait while the database is away: object storage, each turn one object, sealed."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, Self
from uuid import UUID

from lib.breaker import Breaker
from lib.errors import StorageUnavailable
from lib.settings import Settings
from lib.spool.outlook import Outlook
from lib.turns import EndedTurn

# What a healthy turn never needs is imported when it is needed.
if TYPE_CHECKING:
    from lib.auth.seal import Seal
    from lib.db.session import Database
    from lib.files.storage import Storage, Stored
    from lib.spool.record import Count, Replayed
    from lib.spool.replay import Replay
    from lib.spool.room import ListBelow, Room, Standing

KEEP: Final = 2.0
"""Seconds that a turn may take to be kept: its reader waits for the last event."""
RECKON: Final = 0.2
"""Seconds of these for finding out whether there is room. Who does not know goes on."""
WRITES: Final = 16
"""Turns that are written at a time. When a database goes away they end together, and as many new connections at once
would get in each other's way: of 200 turns a slow storage took 154 so, and all of them 16 by 16."""
FIND: Final = 1.0
"""Seconds that a look for a turn under a key may take."""
STANDING: Final = 1.0
"""Seconds that the metrics wait to hear what waits."""
REQUEST: Final = 0.9
"""Seconds for one request: one that a connection swallows that died while we were frozen is sent again in time."""
CONNECT: Final = 0.5

REPLAY: Final = 8.0
"""Seconds after which a replay begins with no further turn, unless it is told otherwise."""
RECORDS: Final = 200
"""Turns after which it ends, likewise."""
JOB: Final = 18.0
"""Seconds that the job takes for it: a function on AWS Lambda has 29, and the last turn may take some."""
LISTED: Final = 100_000
"""Objects that one list reads at most: more than there may be, whatever the bounds are set to."""
SAME_KEY: Final = 16
"""Turns under one key that are read at most."""

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
        self._open_storage = open_storage
        self._seal = seal
        self._retention = retention
        self._max_records = max_records
        self._max_bytes = max_bytes
        self.counts: Counter[Count] = Counter()
        self._outlook = Outlook()
        self._writing = asyncio.Semaphore(WRITES)
        self._breaker = Breaker()

    @classmethod
    def from_settings(cls, settings: Settings, seal: Callable[[], "Seal"]) -> Self | None:
        """Return the spool of a deployment; None where turns wait nowhere."""
        from lib.spool.record import place_of

        place = place_of(settings)
        if place is None:
            return None
        return cls(
            lambda: _open(place, settings),
            seal,
            max_records=settings.spool_max_records,
            max_bytes=settings.spool_max_mb * 1_000_000,
            retention=settings.retention_conversations,
        )

    @cached_property
    def room(self) -> "Room":
        """How much there is, and how much more may be."""
        from lib.spool.room import Room

        return Room(self._list_below, max_records=self._max_records, max_bytes=self._max_bytes)

    @property
    def holds(self) -> bool:
        """Whether turns may wait, as far as this instance knows: until a look has found none."""
        return self._outlook.holds

    @property
    def due(self) -> bool:
        """Whether it is time to look for turns that wait: when some may, and now and then in any case."""
        return self._outlook.due

    async def keep(self, ended: EndedTurn) -> bool:
        """Keep a turn for the database, in one write; return whether it is kept.

        It takes `KEEP` seconds at most. When it is not kept, the log says why.
        """
        reason: Literal["full", "unwritable"] = "unwritable"
        try:
            with self._outlook.keeping():
                async with asyncio.timeout(KEEP):
                    if await self._write(ended):
                        self.counts["spooled"] += 1
                        return True
                    reason = "full"
        except (StorageUnavailable, TimeoutError):
            pass  # the storage has said so in the log
        except Exception:  # a caller has nowhere else to put the turn
            _log.exception("a turn could not be written")
        self.counts[reason] += 1
        _log.error("turn %s is lost: the spool is %s", ended.turn.answer_id, reason)
        return False

    async def find(self, key_hash: bytes) -> EndedTurn | None:
        """Return the turn that waits under a key, the most complete one; None also where storage does not say so."""
        return await self._in_passing(lambda: self._find(key_hash))

    async def replay(
        self, database: "Database", *, within: float = REPLAY, most: int = RECORDS, aside: bool = False
    ) -> "Replayed":
        """Bring what waits into the database, as much as the bounds allow; it never raises for what is away.

        It may run at any time, and in several instances at once. While it runs in this one, a second call returns at
        once. It stops where the database or the storage is away; nothing is lost by that.

        Args:
            database: where the turns go.
            within: seconds after which no further turn is begun with.
            most: turns after which it ends.
            aside: bring back first what was set aside.
        """
        from lib.spool.record import Replayed

        if self._outlook.looking:
            return Replayed(left=self._outlook.left)
        with self._outlook.look() as look:
            try:
                replayed = await self._replay(self._replay_within(database, within, most, self._list_below), aside)
            except StorageUnavailable as error:
                return Replayed(left=self._outlook.left, halted=error)
            look.found(left=replayed.left, gone=replayed.kept + replayed.known + replayed.answered + replayed.refused)
            return replayed

    async def replay_conversation(self, database: "Database", conversation_id: UUID) -> bool:
        """Bring in what waits of one conversation; return whether it may be in the database now.

        For somebody who goes on with it, and waits: it takes `FIND` seconds or a little more.
        """
        running = self._outlook.looking
        replay = await self._in_passing(lambda: self._replay_one(database, conversation_id))
        return replay is not None and (running or replay.gone > 0)

    async def standing(self) -> "Standing | None":
        """Return how much waits, as of some seconds ago; None where storage does not say so at once."""
        return await self.room.standing(STANDING)

    async def _in_passing[T](self, look: Callable[[], Awaitable[T]]) -> T | None:
        """Look into storage for somebody who waits for something else; None where that does not say.

        A storage that is away costs its time once a while, and not each of them.
        """
        call = self._breaker.enter()
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

    async def _find(self, key_hash: bytes) -> EndedTurn | None:
        from lib.spool.record import best_of, waiting_under

        async with asyncio.timeout(FIND):
            objects = await self._storage.list_below(waiting_under(key_hash), limit=SAME_KEY)
            found = await asyncio.gather(*(self._read(each) for each in objects))
        return best_of(turn for turn in found if turn and turn.turn.key and turn.turn.key.key_hash == key_hash)

    async def _replay_one(self, database: "Database", conversation_id: UUID) -> "Replay":
        replay = self._replay_within(database, FIND, RECORDS, self._list_at_once)
        await replay.run(conversation_id)
        self._count(replay)
        return replay

    async def _replay(self, replay: "Replay", aside: bool) -> "Replayed":
        try:
            if aside:
                await replay.bring_back()
            return await replay.run()
        finally:
            self._count(replay)

    def _replay_within(self, database: "Database", seconds: float, most: int, list_below: "ListBelow") -> "Replay":
        from lib.spool.replay import Replay

        until = time.monotonic() + seconds
        return Replay(
            list_below, self._storage, self._seal(), database, until=until, most=most, retention=self._retention
        )

    def _count(self, replay: "Replay") -> None:
        for count in ("kept", "known", "answered", "refused", "aside"):
            self.counts[count] += replay.counts[count]
        if replay.gone:
            self.room.changed()

    async def _write(self, ended: EndedTurn) -> bool:
        from lib.spool.record import Name, write

        name = Name.of(ended.turn)
        sealed = write(ended, self._seal())
        if not await self.room.fits(len(sealed), RECKON):
            return False
        with self.room.taken(name.waiting, len(sealed)):
            async with self._writing:
                await self._storage.put(name.waiting, sealed)
        return True

    async def _read(self, stored: "Stored") -> EndedTurn | None:
        from lib.spool.record import Name, TooNew, Unreadable, read

        name, sealed = Name.read(stored.key), await self._storage.get(stored.key)
        try:
            return read(name, sealed, self._seal()) if name and sealed is not None else None
        except (Unreadable, TooNew):
            return None  # the replay says so

    async def _list_below(self, prefix: str) -> "list[Stored]":
        return await self._storage.list_below(prefix, limit=LISTED)

    async def _list_at_once(self, prefix: str) -> "list[Stored]":
        async with asyncio.timeout(FIND):
            return await self._list_below(prefix)

    @cached_property
    def _storage(self) -> "Storage":
        return self._open_storage()


def _open(place: str, settings: Settings) -> "Storage":
    from lib.files.storage import Limits, Storage

    return Storage.at(place, settings, Limits(operation=KEEP, request=REQUEST, connect=CONNECT, retries=1))
