"""One run over turns that wait in the spool: each goes into the database, and its object goes away."""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from itertools import batched
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

from lib.chat.retention import retain
from lib.db.faults import is_passing
from lib.db.session import Database
from lib.db.tenant import Asker, Tenant
from lib.errors import DatabaseBusy, DatabaseUnavailable, ParleyError, StorageUnavailable, Unauthenticated
from lib.files.storage import Storage
from lib.spool.record import Count, Name, Replayed, TooNew, Unreadable, read
from lib.store import answers
from lib.turns import EndedTurn, Kept

if TYPE_CHECKING:
    from lib.auth.seal import Seal

WORKERS: Final = 4
"""Conversations that are brought in at a time: most of the time is spent waiting for storage."""
READ: Final = 8
"""Turns of one conversation that are read at a time."""
INACTIVE: Final = 30 * 24 * 3600.0
"""Seconds for which a turn waits whose account or team is not active: it may be switched on again."""

Waits = Literal["soon", "long"]
"""How a turn waits on: for what is over in a minute, or until somebody does something."""

_log = logging.getLogger("parley.spool")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run may take.

    Attributes:
        until: when no further turn is begun with, by the monotonic clock.
        most: turns that have gone after which it ends.
        retention: how many conversations a user keeps.
        hurried: says that there is no more time at all.
        past_breaker: whether the database is asked also while it is taken to be away.
    """

    until: float
    most: int
    retention: int
    hurried: Callable[[], bool]
    past_breaker: bool = False


class Replay:
    """One run. The turns of a conversation go in one after the other, the one that opens it first."""

    def __init__(self, storage: Storage, seal: "Seal", database: Database, bounds: Bounds) -> None:
        """Keep what the run works with: where the turns wait, what opens them, and where they go."""
        self._storage, self._seal, self._database = storage, seal, database
        self._bounds = bounds
        self._one_connection = asyncio.Lock()
        self._users: set[tuple[UUID, UUID]] = set()
        self._halted: ParleyError | None = None
        self._names: list[Name] = []
        self._last: AbstractSet[str] = frozenset()
        self._gone: set[Name] = set()
        self._waits: dict[str, Waits] = {}
        self.counts: Counter[Count] = Counter()

    @property
    def gone(self) -> int:
        """How many turns wait no longer."""
        return len(self._gone)

    @property
    def soon(self) -> int:
        """How many of those that are left may come in soon."""
        return sum(name not in self._gone and name.conversation not in self.put_off for name in self._names)

    @cached_property
    def put_off(self) -> frozenset[str]:
        """The conversations that wait until somebody does something: ask when the run is over."""
        long = {conversation for conversation, waits in self._waits.items() if waits == "long"}
        left = {name.conversation for name in self._names if name not in self._gone}
        return frozenset(long | (self._last & left) - self._waits.keys())

    @property
    def replayed(self) -> Replayed:
        """What has become of the turns so far."""
        left = len(self._names) - self.gone
        return Replayed(**self.counts, later=len(self._waits), left=left, halted=self._halted)

    async def bring_back(self, names: Iterable[Name]) -> None:
        """Let what was set aside wait again.

        Raises:
            StorageUnavailable: not all of it does.
        """
        for name in names:
            if self._is_over():
                return
            sealed = await self._storage.get(name.aside)
            if sealed is not None:
                await self._storage.put(name.waiting, sealed)
                await self._storage.delete(name.aside)

    async def run(self, names: list[Name], *, last: AbstractSet[str] = frozenset()) -> None:
        """Bring in the turns of these names, those of the conversations in `last` when all others are in."""
        self._names, self._last = names, last
        conversations = iter(by_conversation(names, last))
        await asyncio.gather(*(self._work(conversations) for _ in range(WORKERS)))
        for team_id, user_id in self._users if self._halted is None else ():
            if not self._bounds.hurried():
                await retain(self._database, team_id=team_id, user_id=user_id, newest=self._bounds.retention)
        # Those that wait for weeks are not worth a line each time.
        level = logging.INFO if self._gone or self._halted else logging.DEBUG
        _log.log(level, "of %d turns that waited: %s", len(names), self.replayed)

    async def _work(self, conversations: Iterator[list[Name]]) -> None:
        for names in conversations:
            if self._is_over():
                return
            try:
                await self._bring_in_all(names)
            except (DatabaseUnavailable, DatabaseBusy, StorageUnavailable) as error:
                self._halted = error
            except Exception:  # the conversation waits, and no other for it
                _log.exception("turn %s, or one behind it, could not be replayed", names[0].answer_id)
                self._waits[names[0].conversation] = "long"

    async def _bring_in_all(self, names: list[Name]) -> None:
        """Bring in a conversation, until one of its turns has to wait: the others wait behind it."""
        for some in batched(names, READ):
            for one in await asyncio.gather(*(self._read(name) for name in some)):
                if self._is_over():
                    return
                if one and (waits := await self._bring_in(one)):
                    self._waits[one.name.conversation] = waits
                    return

    async def _read(self, name: Name) -> "_Waiting | None":
        """Return what waits under a name, unless it is gone meanwhile, or nobody can read it."""
        sealed = await self._storage.get(name.waiting)
        if sealed is None:  # another replay was faster
            self._gone.add(name)
            return None
        try:
            return _Waiting(name, sealed, read(name, sealed, self._seal))
        except TooNew:
            _log.warning("turn %s waits for the version of Parley that wrote it", name.answer_id)
            return _Waiting(name, sealed, None)
        except Unreadable as error:
            await self._set_aside(name, sealed, str(error))
            return None

    async def _bring_in(self, one: "_Waiting") -> Waits | None:
        """Bring a turn in; return how it has to wait, if it has to.

        Raises:
            DatabaseUnavailable: it waits on, and so with `DatabaseBusy`.
            StorageUnavailable: its object is still there. The next run finds the turn known.
        """
        if one.ended is None:
            return "long"
        try:
            became = await self._keep(one.ended)
        except (DatabaseUnavailable, DatabaseBusy):
            raise
        except Unauthenticated:
            return await self._put_off(one)
        except Exception as error:
            if is_passing(error):
                return "soon"
            await self._set_aside(one.name, one.sealed, f"the database refuses it with {_kind(error)}")
            return None
        if became == "later":
            return "soon"
        self._count(became, one.ended)
        await self._storage.delete(one.name.waiting)
        self._gone.add(one.name)
        return None

    async def _keep(self, ended: EndedTurn) -> Kept:
        # As when it was had: one that was begun was asked for its account then.
        asker = None if ended.begun else Asker(ended.turn.user_id)
        statement = self._database.one_statement(
            Tenant(ended.turn.team_id, asker), past_breaker=self._bounds.past_breaker
        )
        async with self._one_connection, statement as connection:
            return await answers.replay(connection, ended)

    async def _put_off(self, one: "_Waiting") -> Waits | None:
        """Have a turn wait whose account or team is not active right now, unless it has done so for too long."""
        if time.time() - _asked_at(one.name) < INACTIVE:
            return "long"
        await self._set_aside(
            one.name, one.sealed, "it was asked more than 30 days ago, and its account or team is not active"
        )
        return None

    def _count(self, became: Count, ended: EndedTurn) -> None:
        self.counts[became] += 1
        turn = ended.turn
        if became == "refused":
            _log.warning("turn %s of team %s is deleted: nobody may keep it", turn.answer_id, turn.team_id)
        elif became == "kept" and not ended.begun and turn.user_id:
            self._users.add((turn.team_id, turn.user_id))

    async def _set_aside(self, name: Name, sealed: bytes, why: str) -> None:
        """Keep a turn apart, for an operator to see."""
        await self._storage.put(name.aside, sealed)
        await self._storage.delete(name.waiting)
        self.counts["aside"] += 1
        self._gone.add(name)
        _log.error("turn %s is set aside: %s", name.answer_id, why)

    def _is_over(self) -> bool:
        bounds = self._bounds
        no_more = self.counts.total() >= bounds.most or time.monotonic() >= bounds.until or bounds.hurried()
        return bool(self._halted) or no_more


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A turn that waits, and the object that it was read from; without a turn it is for a later version of us."""

    name: Name
    sealed: bytes
    ended: EndedTurn | None


def by_conversation(names: list[Name], last: AbstractSet[str]) -> list[list[Name]]:
    """Return the names of each conversation in their order, the conversation that has waited longest first.

    The one that opens it is its first, whatever the clocks of two instances say.
    """
    conversations: defaultdict[str, list[Name]] = defaultdict(list)
    for name in sorted(names, key=lambda name: (name.conversation in last, name.question_id)):
        conversations[name.conversation].append(name)
    return [sorted(of_one, key=lambda name: not name.opens) for of_one in conversations.values()]


def _asked_at(name: Name) -> float:
    """Return when a turn was asked, in seconds, as its id tells."""
    return (name.question_id.int >> 80) / 1000


def _kind(error: Exception) -> str:
    """Name an error without its words, which may quote what somebody said."""
    return type(getattr(error, "orig", None) or error).__name__
