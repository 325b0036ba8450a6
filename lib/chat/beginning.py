"""How a turn begins: its question is kept and counted, or the turn that it repeats is found."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from lib.chat.ending import keep
from lib.chat.events import TurnEvent
from lib.chat.persist import keep_question
from lib.chat.progress import Progress
from lib.chat.replay import Followed, follow, told_waiting
from lib.chat.request import TurnDeps, TurnRequest
from lib.chat.waiting import brought_in
from lib.errors import ConversationBusy, DatabaseBusy, DatabaseUnavailable, KeyReused, ParleyError
from lib.ids import new_id, unguessable_id
from lib.store import users
from lib.turns import Begun, EndedTurn, TurnRecord
from lib.unhindered import begin

SAVING: Final = 15.0
"""Seconds beyond the longest turn for which a conversation waits for its answer to be saved."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a turn began.

    Attributes:
        turn: its ids, and what is asked.
        begun: what the database says of it; None while that is away.
        repeats: the events of the turn that this one repeats. Then nobody is asked.
    """

    turn: TurnRecord
    begun: Begun | None = None
    repeats: AsyncGenerator[TurnEvent] | None = None


def record(request: TurnRequest) -> TurnRecord:
    """Give the turn its ids, so that whoever keeps it, now or later, keeps the same."""
    return TurnRecord(
        team_id=request.tenant.team_id,
        user_id=request.user_id,
        conversation_id=request.conversation_id or unguessable_id(),
        question_id=new_id(),
        answer_id=new_id(),
        question=request.content,
        opens=request.conversation_id is None,
        agent_id=request.agent_id,
        branch=request.branch,
        key=request.key,
    )


async def begin_turn(turn: TurnRecord, request: TurnRequest, deps: TurnDeps) -> Beginning:
    """Keep the question and count the turn; say what is left to whoever wants to know.

    What a retry repeats is found in the database, or in the spool, where this instance has reason to look.

    Raises:
        ParleyError: as `keep_question`; nothing is stored.
    """
    if waiting := await _find_waiting(turn, deps):
        await _confirm(request, deps)
        return Beginning(turn, repeats=told_waiting(waiting))
    keeping = begin(_keep(turn, request, deps))
    try:
        turn, begun = await asyncio.shield(keeping)
    except asyncio.CancelledError:
        begin(_abandon(keeping, deps))
        raise
    if begun and begun.repeats:
        repeats = begun.repeats
        followed = Followed(request.tenant, request.user_id, repeats.conversation_id, repeats.answer_id)
        return Beginning(turn, begun, follow(deps.database, followed))
    if begun is None and request.with_agent and deps.known_agents.recall(turn) is None:
        raise DatabaseUnavailable
    try:
        deps.keys.add(turn, begun=begun is not None)
    except ConversationBusy:
        await _abandon(keeping, deps)
        raise
    if request.limit and begun and begun.allowance:
        request.limit.tell(begun.allowance)
    if begun and begun.question is not None:
        turn = replace(turn, question=begun.question)
    return Beginning(turn, begun)


async def _keep(turn: TurnRecord, request: TurnRequest, deps: TurnDeps) -> tuple[TurnRecord, Begun | None]:
    hits = iter((request.limit.hit,) if request.limit else ())  # asked once more, it counts no more

    def keeping() -> Awaitable[tuple[TurnRecord, Begun | None]]:
        busy = deps.limits.whole + SAVING
        return keep_question(deps.database, turn, request.tenant, busy=busy, hit=next(hits, None))

    if turn.opens:
        return await keeping()
    return await brought_in(keeping, turn.conversation_id, spool=deps.spool, database=deps.database)


async def _find_waiting(turn: TurnRecord, deps: TurnDeps) -> EndedTurn | None:
    """Return the turn with the same key that is not in the database yet.

    Raises:
        ConversationBusy: it is being answered.
        KeyReused: it asked something else.
    """
    if turn.key is None:
        return None
    deps.keys.refuse_a_retry(turn)
    if deps.spool is None or not deps.spool.holds:
        return None
    waiting = await deps.spool.find(turn.key.key_hash)
    if waiting and waiting.turn.key != turn.key:
        raise KeyReused
    return waiting


async def _confirm(request: TurnRequest, deps: TurnDeps) -> None:
    """Let whoever asks pass whose credential holds, as far as anybody knows: the spool knows of no sign-out.

    Raises:
        Unauthenticated: it has ended, or the account or its team is off.
    """
    if request.user_id is None:
        return
    with suppress(DatabaseUnavailable, DatabaseBusy):
        async with deps.database.one_statement(request.tenant) as connection:
            await users.find_active(connection, request.user_id)


async def _abandon(keeping: "asyncio.Task[tuple[TurnRecord, Begun | None]]", deps: TurnDeps) -> None:
    """End a turn that nobody answers, once its question is kept: its client left meanwhile, or it is a retry."""
    with suppress(ParleyError):
        turn, begun = await keeping
        if begun and not begun.repeats:
            await keep(turn, deps, Progress(begun=True), "interrupted")
