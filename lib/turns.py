"""What is kept of a turn: the values that the turn hands to the store, and gets from it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from lib.agents.agent import Agent
from lib.db.limits import Allowance

TITLE_LENGTH: Final = 80

Outcome = Literal["complete", "stopped", "interrupted", "failed"]
"""How a turn ended: with a whole answer, by its reader's wish, by a lost connection, by a fault."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Where a turn leaves the path: another wording of a question, or another answer to it.

    `message_id` is the question that is worded anew, or the answer (or its question) that is wanted again.
    """

    kind: Literal["edit", "regenerate"]
    message_id: UUID


@dataclass(frozen=True, slots=True)
class TurnKey:
    """What makes a request the same as one before: whose key it is and the key, hashed; and what was asked, hashed."""

    key_hash: bytes
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """Who asked what, where, and the ids under which the turn is kept.

    `user_id` is None for a guest. `opens` says that the conversation begins with this turn; the id of any other came
    from the caller, and names nothing until the database says so. `question` is empty for an answer that is wanted
    again, until the database says what it was. `agent_id` is whom a conversation that opens is with.
    """

    team_id: UUID
    user_id: UUID | None
    conversation_id: UUID
    question_id: UUID
    answer_id: UUID
    question: str
    opens: bool
    agent_id: UUID | None = None
    branch: Branch | None = None
    key: TurnKey | None = None


@dataclass(frozen=True, slots=True)
class TurnResult:
    """How a turn ended. Times are milliseconds from its start; `sources` is JSON, None where there was no search.

    `history` is for a repeat that is told from the spool; the database does not keep it, and would have loaded it.
    """

    outcome: Outcome
    text: str
    reasoning: str = ""
    sources: list[dict[str, Any]] | None = None
    error_code: str | None = None
    model: str | None = None
    agent_id: UUID | None = None
    retrieval: str | None = None
    passages: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    first_token_ms: int | None = None
    total_ms: int | None = None
    finished_at: datetime | None = None
    history: Literal["loaded", "sent", "unavailable"] = "loaded"


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """All that is to be kept of a turn that is over; `begun` says that its question is committed."""

    turn: TurnRecord
    result: TurnResult
    begun: bool

    @property
    def asked_at(self) -> datetime | None:
        """When it was asked, where its end says so."""
        if self.result.finished_at is None:
            return None
        return self.result.finished_at - timedelta(milliseconds=self.result.total_ms or 0)


Kept = Literal["kept", "known", "answered", "later", "refused"]
"""What became of a turn that was to be kept: it is; it was, or has been deleted since; a retry of it was answered in
its place; it has to wait, as for a retry that is being answered; its conversation is not the caller's."""


Where = Literal["saved", "spooled", "nowhere"]
"""Where a turn is kept: in the database, in the spool until that is back, or not at all."""


class SaidMessage(msgspec.Struct, frozen=True, array_like=True):
    """A message of the conversation so far. As JSON it is an array, which Postgres tells a turn."""

    role: Literal["user", "assistant"]
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Repeat:
    """The turn that was begun with the same key."""

    conversation_id: UUID
    answer_id: UUID


@dataclass(frozen=True, slots=True)
class Begun:
    """What the store says of a turn that is begun.

    Attributes:
        history: what was said before, oldest first.
        allowance: what is left of the limit of turns, where there is one.
        agent: who is to answer; None for the deployment's own models.
        hosts: private hosts that the team's agents may call.
        question: what is answered again, where the turn asks nothing new.
        untitled: whether the conversation's title is still the first line of its first question.
        repeats: the turn that this one is the same as. Then nothing new is stored, and nobody is asked.
    """

    history: tuple[SaidMessage, ...] = ()
    allowance: Allowance | None = None
    agent: Agent | None = None
    hosts: frozenset[str] = field(default_factory=frozenset[str])
    question: str | None = None
    untitled: bool = False
    repeats: Repeat | None = None


class KeyTaken(Exception):
    """The turn's key is that of a turn before. Nothing is stored.

    Attributes:
        by: that turn, and whether it asked the same; None where the statement did not see it yet, or it never began.
    """

    def __init__(self, by: tuple[Repeat, bool] | None = None) -> None:
        super().__init__()
        self.by = by


class Moved(Exception):
    """Somebody changed the conversation between a statement's look at it and its grip. Nothing is stored."""


class MadeTooEarly(Exception):
    """The conversation has come further than the turn's ids: they were made before, or by a clock that is behind.

    A path is in the order of ids, so the turn takes others. Nothing is stored.
    """

    def __init__(self, newest: UUID) -> None:
        """Keep the newest id of the conversation."""
        super().__init__(newest)
        self.newest = newest


def title_of(question: str) -> str:
    """Return the first line of the question, cut to a title's length."""
    first = next((line.strip() for line in question.splitlines() if line.strip()), "")
    return first if len(first) <= TITLE_LENGTH else first[: TITLE_LENGTH - 1].rstrip() + "…"
