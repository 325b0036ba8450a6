"""A turn at rest: its conversation, its two messages and its line in the log.

Each function is one statement, so that it costs one round trip and holds no lock while a model thinks.
"""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text

from lib.db.limits import HIT, WITHIN, Allowance, Hit, Taken, hit_parameters, judge
from lib.db.session import Connection
from lib.errors import ConversationNotFound

Outcome = Literal["complete", "interrupted", "failed"]

TITLE_LENGTH: Final = 80


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """Who asked what, where, and the ids under which the turn is kept.

    `user_id` is None for a guest. `opens` says that the conversation begins with this turn; the id of any other came
    from the caller, and names nothing until the database says so.
    """

    team_id: UUID
    user_id: UUID | None
    conversation_id: UUID
    question_id: UUID
    answer_id: UUID
    question: str
    opens: bool


@dataclass(frozen=True, slots=True)
class TurnResult:
    """How a turn ended. Times are milliseconds from its start."""

    outcome: Outcome
    text: str
    log_id: UUID
    error_code: str | None = None
    model: str | None = None
    retrieval: str | None = None
    passages: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    first_token_ms: int | None = None
    total_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SaidMessage:
    """A message of the conversation so far."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Begun:
    """What was said before, oldest first, and what is left of the limit of turns, where there is one."""

    history: tuple[SaidMessage, ...] = ()
    allowance: Allowance | None = None


async def begin(connection: Connection, turn: TurnRecord, *, hit: Hit | None = None) -> Begun:
    """Open a conversation with the user's message and the place of the answer, and count the turn, if `hit` says so.

    Raises:
        RateLimited: there were too many turns. Nothing is stored.
        Unauthenticated: whoever asks is signed in no longer, or the account or the team is not active.
    """
    parameters = _parameters(turn) | {"title": title_of(turn.question)} | hit_parameters(hit)
    counted = (await connection.execute(_BEGIN, parameters)).one()
    return Begun(allowance=_allowance(hit, counted.hits, counted.seconds_left))


async def continue_(connection: Connection, turn: TurnRecord, *, limit: int, hit: Hit | None = None) -> Begun:
    """Add the user's message and the place of the answer, as `begin`; read the last `limit` messages before it.

    Raises:
        RateLimited: as `begin`.
        ConversationNotFound: it does not exist, or is not this caller's.
        Unauthenticated: as `begin`.
    """
    parameters = _parameters(turn) | {"limit": limit} | hit_parameters(hit)
    rows = (await connection.execute(_CONTINUE, parameters)).all()
    allowance = _allowance(hit, rows[0].hits, rows[0].seconds_left)
    if not rows[0].found:
        raise ConversationNotFound
    return Begun(tuple(SaidMessage(row.role, row.said) for row in rows if row.said), allowance)


async def finish(connection: Connection, turn: TurnRecord, result: TurnResult) -> bool:
    """Keep the answer and the log line. Return whether the conversation was still there to take it."""
    kept = await connection.execute(_FINISH, _parameters(turn) | _result_parameters(result))
    return kept.scalar_one() == 1


async def save_whole(connection: Connection, turn: TurnRecord, result: TurnResult) -> bool:
    """Keep a turn that was not begun, as far as anybody knows: an answer still `streaming` under its id is completed.

    Doing it twice changes nothing.

    Return whether it is kept now; it is not when the conversation is a stranger's or none.
    """
    parameters = _parameters(turn) | _result_parameters(result) | {"title": title_of(turn.question)}
    return (await connection.execute(_SAVE_WHOLE, parameters)).scalar_one() == 1


async def retain_newest(connection: Connection, *, team_id: UUID, user_id: UUID, default: int) -> int:
    """Delete the user's conversations beyond the newest ones; return how many went.

    The team's `settings.retention_conversations` wins over `default`; 0 keeps all.
    """
    dropped = await connection.execute(_RETAIN, {"team_id": team_id, "user_id": user_id, "default": default})
    return dropped.rowcount


def title_of(question: str) -> str:
    """Return the first line of the question, cut to a title's length."""
    first = next((line.strip() for line in question.splitlines() if line.strip()), "")
    return first if len(first) <= TITLE_LENGTH else first[: TITLE_LENGTH - 1].rstrip() + "…"


def _allowance(hit: Hit | None, attempts: int | None, seconds_left: int | None) -> Allowance | None:
    """Return what is left. Nothing was counted without a hit, nor where the wall hides the team."""
    return judge([Taken(hit, attempts, seconds_left)]) if hit and attempts and seconds_left else None


def _text_parts(said: str) -> str:
    return msgspec.json.encode([{"type": "text", "text": said}] if said else []).decode()


def _parameters(turn: TurnRecord) -> dict[str, object]:
    return {
        "team_id": turn.team_id,
        "user_id": turn.user_id,
        "conversation_id": turn.conversation_id,
        "question_id": turn.question_id,
        "question": _text_parts(turn.question),
        "answer_id": turn.answer_id,
        "opens": turn.opens,
        "status": "streaming",
        "answer": "[]",
    }


def _result_parameters(result: TurnResult) -> dict[str, object]:
    return {
        "status": result.outcome,
        "answer": _text_parts(result.text),
        "outcome": result.outcome,
        "log_id": result.log_id,
        "error_code": result.error_code,
        "model": result.model,
        "retrieval": result.retrieval,
        "passages": result.passages,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "first_token_ms": result.first_token_ms,
        "total_ms": result.total_ms,
    }


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_OPENED = """
    INSERT INTO conversations (id, team_id, user_id, title)
    SELECT :conversation_id, :team_id, :user_id, :title WHERE :opens
"""

_TOUCHED = """
    UPDATE conversations SET updated_at = now()
    WHERE id = :conversation_id AND team_id = :team_id AND user_id IS NOT DISTINCT FROM CAST(:user_id AS uuid)
"""

_SAID = """
    INSERT INTO messages (id, team_id, conversation_id, role, status, parts)
    SELECT said.id, :team_id, conversation.id, said.role, said.status, said.parts
    FROM conversation, (VALUES
        (CAST(:question_id AS uuid), 'user', 'complete', CAST(:question AS jsonb)),
        (CAST(:answer_id AS uuid), 'assistant', :status, CAST(:answer AS jsonb))
    ) AS said (id, role, status, parts)
"""

_LOGGED = """
    INSERT INTO interaction_logs (id, team_id, user_id, conversation_id, message_id, model, outcome, error_code,
        retrieval, passages, input_tokens, output_tokens, first_token_ms, total_ms)
    SELECT :log_id, :team_id, :user_id, :conversation_id, :answer_id, :model, :outcome, :error_code,
        :retrieval, :passages, :input_tokens, :output_tokens, :first_token_ms, :total_ms
"""

_BEGIN = text(f"""
    WITH {HIT}, conversation AS ({_OPENED} AND {WITHIN} RETURNING id), said AS ({_SAID})
    SELECT hit.hits, hit.seconds_left FROM (SELECT) AS one LEFT JOIN hit ON true
""")  # noqa: S608

# The lateral query reads the snapshot from before the insert beside it, so the new message is not among the rows.
_CONTINUE = text(f"""
    WITH {HIT}, conversation AS ({_TOUCHED} AND {WITHIN} RETURNING id), said AS ({_SAID})
    SELECT hit.hits, hit.seconds_left, conversation.id IS NOT NULL AS found,
        earlier.role, earlier.parts #>> '{{0,text}}' AS said
    FROM (SELECT) AS one LEFT JOIN hit ON true LEFT JOIN conversation ON true LEFT JOIN LATERAL (
        SELECT id, role, parts FROM messages
        WHERE conversation_id = conversation.id AND status IN ('complete', 'interrupted')
        ORDER BY id DESC LIMIT :limit
    ) AS earlier ON true
    ORDER BY earlier.id
""")  # noqa: S608

_FINISH = text(f"""
    WITH answer AS (
        UPDATE messages SET status = :status, parts = CAST(:answer AS jsonb)
        WHERE id = :answer_id AND team_id = :team_id AND status = 'streaming'
        RETURNING conversation_id
    ), touched AS (
        UPDATE conversations SET updated_at = now() FROM answer WHERE conversations.id = answer.conversation_id
    ), logged AS ({_LOGGED})
    SELECT count(*) FROM answer
""")  # noqa: S608

_SAVE_WHOLE = text(f"""
    WITH opened AS ({_OPENED} ON CONFLICT (id) DO NOTHING RETURNING id), touched AS ({_TOUCHED} RETURNING id),
    conversation AS (SELECT id FROM opened UNION ALL SELECT id FROM touched), said AS (
        {_SAID} ON CONFLICT (id) DO UPDATE SET status = excluded.status, parts = excluded.parts
        WHERE messages.status = 'streaming' AND messages.conversation_id = excluded.conversation_id
    ), logged AS (
        {_LOGGED} FROM conversation ON CONFLICT (id) DO NOTHING
    )
    SELECT count(*) FROM conversation
""")  # noqa: S608

_RETAIN = text("""
    WITH keep AS (
        SELECT CASE jsonb_typeof(settings -> 'retention_conversations')
            WHEN 'number' THEN CAST(least(CAST(settings ->> 'retention_conversations' AS numeric), 1e9) AS integer)
            ELSE :default
        END AS newest
        FROM teams WHERE id = :team_id
    )
    DELETE FROM conversations USING keep
    WHERE keep.newest > 0 AND conversations.id IN (
        SELECT id FROM conversations
        WHERE team_id = :team_id AND user_id = :user_id
        ORDER BY updated_at DESC, id DESC
        OFFSET (SELECT greatest(newest, 0) FROM keep)
    )
""")
