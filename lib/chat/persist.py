"""How a turn is kept: its question before the model is asked, its answer before the client is told it is done."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from lib.chat.batches import what_is_left
from lib.chat.prompt import HISTORY_MESSAGES
from lib.db.faults import is_passing
from lib.db.limits import Hit
from lib.db.session import Connection, Database
from lib.db.tenant import EVERY_TEAM, Asker, Tenant
from lib.errors import (
    ConversationBusy,
    DatabaseBusy,
    DatabaseUnavailable,
    KeyReused,
    ParleyError,
    Unauthenticated,
)
from lib.ids import id_after, new_id, unguessable_id
from lib.store import answers, turn_keys, turns, users
from lib.telemetry.tracing import traced
from lib.turns import (
    Begun,
    EndedTurn,
    Kept,
    KeyTaken,
    MadeTooEarly,
    Moved,
    Outcome,
    Repeat,
    TurnRecord,
    TurnResult,
    Where,
)
from lib.unhindered import begin, done_within, unhindered

if TYPE_CHECKING:
    from lib.spool import Spool

ATTEMPTS: Final = 6
"""How often a turn is begun while others keep changing its conversation."""
SAVES: Final = 2
"""How often an answer is saved that gets in another statement's way."""
PATIENCE: Final = 1.0
"""Seconds for which a reader waits for the database at the end of an answer; then the turn goes to the spool."""
HURRIED: Final = 0.15
"""The same for an answer that is cut short: a platform that ends an instance gives it half a second."""

_log = logging.getLogger("parley.chat")


@traced("load history")
async def keep_question(
    database: Database, turn: TurnRecord, tenant: Tenant, *, busy: float, hit: Hit | None = None
) -> tuple[TurnRecord, Begun | None]:
    """Commit the user's message and return what was said before; None when the database is away.

    The turn may come back with other ids, where what was said last has later ones.

    The same statement counts the turn, if `hit` says for whom. While the database is away nobody is limited, and no
    retry is known for one.

    Raises:
        RateLimited: there were too many turns; nothing is stored, as with each of these.
        ConversationNotFound: the turn continues what is not this caller's.
        MessageNotFound: it branches at a message that is not there.
        ConversationBusy: another answer is being written there, for `busy` seconds at most.
        AgentNotFound, AgentUnavailable: nobody can answer.
        KeyReused: its key came with another question.
        Unauthenticated: the tenant's asker is signed in no longer.
        DatabaseUnavailable: without a database nobody knows where the turn branches, or the agent it is to begin with.
    """
    asked = _Asked(turn)
    try:
        async with database.one_statement(tenant) as connection:
            begun = await _begin(connection, asked, busy, hit)
            return asked.turn, begun
    except DatabaseUnavailable:
        if turn.branch or turn.agent_id:
            # It may have been heard all the same; nobody is going to write its answer.
            await unhindered(_close(database, asked.turn, DatabaseUnavailable.code))
            raise
        return asked.turn, None


async def _close(database: Database, turn: TurnRecord, error_code: str) -> None:
    """End a turn whose answer nobody is going to write, if the database knows of it, so that its conversation goes on.

    Where that is away, the reaper does so.
    """
    failed = TurnResult("failed", "", error_code=error_code)
    with suppress(DatabaseUnavailable, DatabaseBusy):
        async with database.one_statement(Tenant(turn.team_id)) as connection:
            await answers.finish(connection, turn, failed, by_writer=False)


@dataclass(slots=True)
class _Asked:
    """The turn with the ids that it was last asked to be kept under: a statement may have been heard that failed."""

    turn: TurnRecord


async def _begin(connection: Connection, asked: _Asked, busy: float, hit: Hit | None) -> Begun:
    """Begin the turn, or find the one that it repeats; look again where others were at the conversation, too."""
    for _ in range(ATTEMPTS):
        try:
            if asked.turn.opens:
                return await turns.begin(connection, asked.turn, busy=busy, hit=hit)
            return await turns.continue_(connection, asked.turn, limit=HISTORY_MESSAGES, busy=busy, hit=hit)
        except KeyTaken as taken:
            repeats = await _repeat(connection, asked.turn, taken)
            if repeats is not None:
                return Begun(repeats=repeats)
        except MadeTooEarly as early:
            asked.turn = _made_after(asked.turn, early.newest)
        except Moved:
            pass
        hit = None  # the statement has counted it, also where it began nothing
    raise ConversationBusy(retry_after=1)


def _made_after(turn: TurnRecord, newest: UUID) -> TurnRecord:
    question_id = id_after(newest)
    return replace(turn, question_id=question_id, answer_id=id_after(question_id))


async def _repeat(connection: Connection, turn: TurnRecord, taken: KeyTaken) -> Repeat | None:
    """Return the turn that was begun with this one's key; None where there is none after all, and the key is free."""
    found = taken.by or await turn_keys.find_repeat(connection, turn)
    if found is None:
        return None
    repeat, same = found
    if not same:
        raise KeyReused
    return repeat


@traced("persist")
async def keep_answer(
    database: Database,
    spool: "Spool | None",
    ended: EndedTurn,
    *,
    first: Callable[[], Awaitable[None]] | None = None,
) -> Where:
    """Commit the answer and its log line, also when the client leaves meanwhile; return where they are kept.

    A database that is away, or silent for longer than a reader should wait, is not waited for: the turn goes to the
    spool. Should the database have heard after all, keeping the turn a second time changes nothing.

    `first` is what has to be over before.
    """
    return await unhindered(_keep(database, spool, ended, first))


async def keep_what_is_left(
    database: Database,
    tenant: Tenant,
    batches: Iterable[tuple[int, bytes]],
    outcome: Outcome,
    *,
    user_id: UUID | None,
    conversation_id: UUID,
    answer_id: UUID,
    **more: Any,
) -> bool:
    """End an answer that nobody writes any more with what its batches hold; return whether nobody else had done so.

    `more` is of its result, what the batches do not tell.

    Raises:
        DatabaseUnavailable: it stays as it is.
    """
    result = what_is_left(batches, outcome, finished_at=datetime.now(UTC), **more)
    turn = TurnRecord(tenant.team_id, user_id, conversation_id, new_id(), answer_id, question="", opens=False)
    async with database.one_statement(tenant) as connection:
        return await answers.finish(connection, turn, result, by_writer=False)


async def keep_exchange(database: Database, *, user_id: UUID, query: str, response: str) -> TurnRecord:
    """Keep a question and an answer that were had elsewhere, as a conversation of their own.

    Raises:
        NotFound: there is no such user.
        DatabaseUnavailable: nothing is stored.
    """
    async with database.one_statement(EVERY_TEAM) as connection:
        user = await users.find_active(connection, user_id)
    turn = TurnRecord(user.team_id, user_id, unguessable_id(), new_id(), new_id(), query, opens=True)
    async with database.one_statement(Tenant(user.team_id)) as connection:
        result = TurnResult("complete", response)
        await answers.save_whole(connection, EndedTurn(turn, result, begun=False))
    return turn


async def _keep(
    database: Database, spool: "Spool | None", ended: EndedTurn, first: Callable[[], Awaitable[None]] | None
) -> Where:
    saving = begin(_save(database, ended, first))
    in_time = await done_within(saving, HURRIED if ended.result.outcome == "interrupted" else PATIENCE)
    where = _where(saving.result()) if in_time else None
    if where is None and spool is not None and await spool.keep(ended):
        return (_where(saving.result()) if saving.done() else None) or "spooled"
    where = where or _where(await saving)
    if where is None:
        begin(_close(database, ended.turn, ParleyError.code))
        if spool is not None:
            spool.lost(ended)
    return where or "nowhere"


def _where(kept: Kept | None) -> Where | None:
    """Return where a turn is that the database was to keep; None where it does not take it now."""
    if kept is None or kept == "later":
        return None
    return "saved" if kept == "kept" else "nowhere"


async def _save(
    database: Database, ended: EndedTurn, first: Callable[[], Awaitable[None]] | None = None
) -> Kept | None:
    """Commit the answer and its log line; None where the database does not take it now."""
    # Whoever has signed out meanwhile gets their answer kept. One that was not begun was never asked for its account.
    tenant = Tenant(ended.turn.team_id, None if ended.begun else Asker(ended.turn.user_id))
    if first is not None:
        await first()
    for _ in range(SAVES):
        try:
            async with database.one_statement(tenant) as connection:
                if not ended.begun:
                    return await answers.save_whole(connection, ended)
                return "kept" if await answers.finish(connection, ended.turn, ended.result) else "known"
        except (DatabaseUnavailable, DatabaseBusy):
            return None
        except Unauthenticated:
            return "refused"
        except Exception as error:
            # The caller has read the answer: a fault of ours in keeping it must not take it back. It goes to the spool,
            # which sets it aside where the database never takes it.
            if not is_passing(error):
                _log.exception("turn could not be saved")
                return None
    return None
