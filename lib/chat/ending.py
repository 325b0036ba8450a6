"""How a turn ends: what it came to is kept, reported, and told in its last event."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

from lib.chat.events import Failed, Finished
from lib.chat.persist import keep_answer
from lib.chat.progress import Progress
from lib.chat.report import note_turn
from lib.chat.request import TurnDeps, TurnRequest, Work
from lib.chat.retention import retain
from lib.errors import ParleyError
from lib.turns import Begun, EndedTurn, Outcome, TurnRecord, Where
from lib.usage.prices import cost_of

TITLED_WITHIN: Final = 6
"""Messages of a conversation after which its title stays what it is: models failed to make one often enough."""

_log = logging.getLogger("parley.chat")


async def finish(
    turn: TurnRecord,
    begun: Begun | None,
    request: TurnRequest,
    deps: TurnDeps,
    progress: Progress,
    outcome: Literal["complete", "stopped"],
) -> Finished:
    """Keep the answer, and return its last event; leave what can wait until that is with the reader."""
    at = datetime.now(UTC)
    where = await keep(turn, deps, progress, outcome, at=at)
    if where == "saved":
        request.course.afterwards.extend(_afterwards(turn, begun, deps, progress))
    return Finished(
        progress.text,
        progress.cited,
        progress.usage,
        progress.model or "",
        saved=where == "saved",
        at=at,
        stopped=outcome == "stopped",
        spooled=where == "spooled",
    )


async def fail(turn: TurnRecord, error: Exception, deps: TurnDeps, progress: Progress) -> Failed:
    """Keep what arrived of a turn that broke, and return what the caller is told."""
    if not isinstance(error, ParleyError):
        _log.error("turn failed", exc_info=error)
        error = ParleyError()
    where = await keep(turn, deps, progress, "failed", error.code)
    saved, spooled = where == "saved", where == "spooled"
    return Failed(error.code, str(error), progress.text, saved, error.retry_after, spooled=spooled)


async def keep(
    turn: TurnRecord,
    deps: TurnDeps,
    progress: Progress,
    outcome: Outcome,
    error_code: str | None = None,
    *,
    at: datetime | None = None,
) -> Where:
    """Keep what the turn came to, report it, and return where it is kept."""
    result = progress.result(outcome, error_code, at=at or datetime.now(UTC))
    cost = cost_of(result.model, result.input_tokens, result.output_tokens, deps.settings.model_prices)
    result = replace(result, cost_usd=cost)
    note_turn(turn, result, where=None)  # in case nobody waits for the rest
    over = partial(deps.under_way.ends, turn.answer_id)
    where = await keep_answer(deps.database, deps.spool, EndedTurn(turn, result, progress.begun), first=over)
    note_turn(turn, result, where=where)
    return where


def _afterwards(turn: TurnRecord, begun: Begun | None, deps: TurnDeps, progress: Progress) -> Iterator[Work]:
    """Yield what an answer that is saved leaves to do."""
    if turn.opens and turn.user_id:
        newest = deps.settings.retention_conversations
        yield partial(retain, deps.database, team_id=turn.team_id, user_id=turn.user_id, newest=newest)
    if deps.spool is not None and deps.spool.due:
        yield partial(deps.spool.replay, deps.database)
    if turn.user_id and begun and _titles(begun, deps):
        yield partial(
            deps.titler.title,
            deps.database,
            team_id=turn.team_id,
            conversation_id=turn.conversation_id,
            question=turn.question,
            answer=progress.text,
        )


def _titles(begun: Begun, deps: TurnDeps) -> bool:
    """Tell whether a model names the conversation: none that the operator did not name reads what it was not asked."""
    agent = begun.agent
    was_asked = agent is None or (agent.kind == "model" and agent.base_url is None)
    return begun.untitled and len(begun.history) < TITLED_WITHIN and (was_asked or bool(deps.settings.title_model))
