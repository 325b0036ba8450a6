"""How a turn began, read from the one row that the statements of `lib.store.turns` return."""

from typing import Any, cast

import msgspec

from lib.agents.agent import COLUMNS, Agent
from lib.db.limits import Allowance, Hit, Taken, judge
from lib.errors import AgentUnavailable, ConversationBusy, ConversationNotFound, MessageNotFound
from lib.turns import KeyTaken, MadeTooEarly, Moved, Repeat, SaidMessage, TurnRecord

_said = msgspec.json.Decoder(tuple[SaidMessage, ...])


def history_of(row: Any) -> tuple[SaidMessage, ...]:
    """Return what was said before, oldest first."""
    return _said.decode(row.history) if row.history else ()


def reason_of(row: Any, turn: TurnRecord) -> Exception:
    """Return why a turn was not begun in a conversation that a row tells of."""
    if row.taken_answer_id is not None:
        return KeyTaken(taken_by(row, turn))
    if not row.known:
        return ConversationNotFound()
    if not row.placed:
        return MessageNotFound()
    if not row.answerable:
        return AgentUnavailable()
    if not row.busy and row.newest is not None and row.newest >= turn.question_id:
        return MadeTooEarly(row.newest)
    if row.busy:
        return ConversationBusy(retry_after=1)
    return KeyTaken() if row.key_taken else Moved()


def taken_by(row: Any, turn: TurnRecord) -> tuple[Repeat, bool] | None:
    """Return the turn that has this one's key, if it began, and whether it asked the same."""
    if turn.key is None or not row.taken_began:
        return None
    return Repeat(row.taken_conversation_id, row.taken_answer_id), bytes(row.taken_body_hash) == turn.key.body_hash


def allowance_of(row: Any, hit: Hit | None) -> Allowance | None:
    """Return what is left. Nothing was counted without a hit, nor where the wall hides the team.

    Raises:
        RateLimited: there were too many turns.
    """
    return judge([Taken(hit, row.hits, row.seconds_left)]) if hit and row.hits and row.seconds_left else None


def agent_of(row: Any) -> Agent | None:
    """Return the agent that answers, None for the deployment's own models."""
    if row.agent_id is None:
        return None
    return Agent(**{name: getattr(row, f"agent_{name}") for name in COLUMNS})


def hosts_of(row: Any) -> frozenset[str]:
    """Return the hosts that the team's settings name. They are an operator's, and may be anything."""
    named: object = row.hosts
    return (
        frozenset(host for host in cast("list[object]", named) if isinstance(host, str))
        if isinstance(named, list)
        else frozenset()
    )
