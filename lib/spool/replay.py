"""One run over the turns that wait in the spool: each goes into the database, and its object goes away."""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Final
from uuid import UUID

from lib.chat.retention import retain
from lib.db.faults import is_passing
from lib.db.session import Database
from lib.db.tenant import Asker, Tenant
from lib.errors import DatabaseBusy, DatabaseUnavailable, ParleyError, StorageUnavailable, Unauthenticated
from lib.files.storage import Storage
from lib.spool.record import ASIDE, WAITING, Count, Name, Replayed, TooNew, Unreadable, hashed, read
from lib.spool.room import ListBelow
from lib.store import answers
from lib.turns import EndedTurn, Kept

if TYPE_CHECKING:
    from lib.auth.seal import Seal

WORKERS: Final = 4
"""Conversations that are brought in at a time: most of the time is spent waiting for storage."""
READ: Final = 8
"""Turns of one conversation that are read at a time."""

_log = logging.getLogger("parley.spool")


class Replay:
    """One run. The turns of a conversation go in one after the other, the one that opens it first."""

    def __init__(
        self,
        list_below: ListBelow,
        storage: Storage,
        seal: "Seal",
        database: Database,
        *,
        until: float,
        most: int,
        retention: int,
    ) -> None:
        """Keep what the run works with, and its bounds.

        Args:
            list_below: lists all objects below a prefix.
            storage: where the turns wait.
            seal: what opens them.
            database: where they go.
            until: when no further turn is begun with, by the monotonic clock.
            most: turns after which the run ends.
            retention: how many conversations a user keeps.
        """
        self._list_below = list_below
        self._storage, self._seal, self._database = storage, seal, database
        self._until, self._most = until, most
        self._retention = retention
        self._one_connection = asyncio.Lock()
        self._users: set[tuple[UUID, UUID]] = set()
        self._halted: ParleyError | None = None
        self.gone = 0  # turns that wait no longer
        self._later = 0
        self.counts: Counter[Count] = Counter()

    async def bring_back(self) -> None:
        """Let what was set aside wait again.

        Raises:
            StorageUnavailable: not all of it does.
        """
        for name in await self._names(ASIDE):
            if self._is_over():
                return
            sealed = await self._storage.get(name.aside)
            if sealed is not None:
                await self._storage.put(name.waiting, sealed)
                await self._storage.delete(name.aside)

    async def run(self, conversation_id: UUID | None = None) -> Replayed:
        """Bring in what waits, of one conversation or of all, and return what became of it.

        Raises:
            StorageUnavailable: it cannot be listed.
        """
        names = await self._names(WAITING)
        if conversation_id is not None:
            names = [name for name in names if name.conversation == hashed(conversation_id)]
        conversations = iter(_by_conversation(names))
        await asyncio.gather(*(self._work(conversations) for _ in range(WORKERS)))
        for team_id, user_id in self._users if self._halted is None else ():
            await retain(self._database, team_id=team_id, user_id=user_id, newest=self._retention)
        replayed = Replayed(**self.counts, later=self._later, left=len(names) - self.gone, halted=self._halted)
        if names:
            _log.info("of %d turns that waited: %s", len(names), replayed)
        return replayed

    async def _names(self, prefix: str) -> list[Name]:
        objects = await self._list_below(prefix)
        return [name for each in objects if (name := Name.read(each.key))]

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
                self._later += 1

    async def _bring_in_all(self, names: list[Name]) -> None:
        """Bring in a conversation, until one of its turns has to wait: the others wait behind it."""
        for some in batched(names, READ):
            read_of = await asyncio.gather(*(self._read(name) for name in some))
            for one in sorted(filter(None, read_of), key=_opening_first):
                if self._is_over():
                    return
                if not await self._bring_in(one):
                    self._later += 1
                    return

    async def _read(self, name: Name) -> "_Waiting | None":
        """Return what waits under a name, unless it is gone meanwhile, or nobody can read it."""
        sealed = await self._storage.get(name.waiting)
        if sealed is None:  # another replay was faster
            self.gone += 1
            return None
        try:
            return _Waiting(name, sealed, read(name, sealed, self._seal))
        except TooNew:
            _log.warning("turn %s waits for the version of Parley that wrote it", name.answer_id)
            return _Waiting(name, sealed, None)
        except Unreadable as error:
            await self._set_aside(name, sealed, str(error))
            return None

    async def _bring_in(self, one: "_Waiting") -> bool:
        """Bring a turn in; return whether it waits no longer.

        Raises:
            DatabaseUnavailable: it waits on, and so with `DatabaseBusy`.
            StorageUnavailable: its object is still there. The next run finds the turn known.
        """
        if one.ended is None:
            return False
        try:
            became = await self._keep(one.ended)
        except (DatabaseUnavailable, DatabaseBusy):
            raise
        except Exception as error:
            if is_passing(error):
                return False
            await self._set_aside(one.name, one.sealed, f"the database refuses it with {_kind(error)}")
            return True
        if became == "later":
            return False
        self._count(became, one.ended)
        await self._storage.delete(one.name.waiting)
        self.gone += 1
        return True

    async def _keep(self, ended: EndedTurn) -> Kept:
        # As when it was had: one that was begun was asked for its account then.
        asker = None if ended.begun else Asker(ended.turn.user_id)
        async with self._one_connection, self._database.one_statement(Tenant(ended.turn.team_id, asker)) as connection:
            try:
                return await answers.replay(connection, ended)
            except Unauthenticated:
                return "refused"

    def _count(self, became: Kept, ended: EndedTurn) -> None:
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
        self.gone += 1
        _log.error("turn %s is set aside: %s", name.answer_id, why)

    def _is_over(self) -> bool:
        return bool(self._halted) or self.counts.total() + self._later >= self._most or time.monotonic() >= self._until


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A turn that waits, and the object that it was read from; without a turn it is for a later version of us."""

    name: Name
    sealed: bytes
    ended: EndedTurn | None


def _by_conversation(names: list[Name]) -> list[list[Name]]:
    """Return the names of each conversation in their order, the conversation that has waited longest first."""
    conversations: defaultdict[str, list[Name]] = defaultdict(list)
    for name in sorted(names, key=lambda name: name.question_id):
        conversations[name.conversation].append(name)
    return list(conversations.values())


def _opening_first(one: _Waiting) -> tuple[bool, UUID]:
    """Sort the turns of a conversation; the clocks of two instances may differ about which was its first."""
    return not (one.ended and one.ended.turn.opens), one.name.question_id


def _kind(error: Exception) -> str:
    """Name an error without its words, which may quote what somebody said."""
    return type(getattr(error, "orig", None) or error).__name__
