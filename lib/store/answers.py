"""How a turn ends: its answer and its line in the log, in one statement."""

from typing import Any, Final

import msgspec
from sqlalchemy import text

from lib.db.session import Connection
from lib.turns import TurnRecord, TurnResult


async def finish(connection: Connection, turn: TurnRecord, result: TurnResult) -> bool:
    """Keep the answer and the log line. Return whether the conversation was still there to take it."""
    kept = await connection.execute(_FINISH, _result_parameters(turn, result))
    return kept.scalar_one() == 1


async def save_whole(connection: Connection, turn: TurnRecord, result: TurnResult, *, title: str) -> bool:
    """Keep a turn that was not begun, as far as anybody knows: an answer still `streaming` under its id is completed.

    Doing it twice changes nothing.

    Return whether it is kept now; it is not when the conversation is a stranger's or none.
    """
    asked = {
        "question_id": turn.question_id,
        "question": msgspec.json.encode([{"type": "text", "text": turn.question}]).decode(),
        "opens": turn.opens,
        "title": title,
    }
    parameters = _result_parameters(turn, result) | asked
    return (await connection.execute(_SAVE_WHOLE, parameters)).scalar_one() == 1


def _parts(result: TurnResult) -> str:
    """Return the parts of an answer: its text first."""
    parts = [{"type": "text", "text": result.text}] if result.text or result.reasoning else []
    if result.reasoning:
        parts.append({"type": "reasoning", "text": result.reasoning})
    return msgspec.json.encode(parts).decode()


def _result_parameters(turn: TurnRecord, result: TurnResult) -> dict[str, Any]:
    return {
        "team_id": turn.team_id,
        "user_id": turn.user_id,
        "conversation_id": turn.conversation_id,
        "answer_id": turn.answer_id,
        "status": result.outcome,
        "answer": _parts(result),
        "sources": None if result.sources is None else msgspec.json.encode(result.sources).decode(),
        "outcome": result.outcome,
        "error_code": result.error_code,
        "model": result.model,
        "agent_id": result.agent_id,
        "retrieval": result.retrieval,
        "passages": result.passages,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "cost_usd": result.cost_usd,
        "first_token_ms": result.first_token_ms,
        "total_ms": result.total_ms,
        "finished_at": result.finished_at,
    }


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_LOGGED: Final = """
    INSERT INTO interaction_logs (id, team_id, user_id, conversation_id, message_id, model, agent_id, outcome,
        error_code, retrieval, passages, input_tokens, output_tokens, cost_usd, first_token_ms, total_ms)
    SELECT :answer_id, :team_id, :user_id, :conversation_id, :answer_id, :model, :agent_id, :outcome,
        :error_code, :retrieval, :passages, :input_tokens, :output_tokens, :cost_usd, :first_token_ms, :total_ms
"""
# A turn has one row of the log, by the answer's own id, however often it is ended.
_ONCE: Final = "ON CONFLICT (id) DO NOTHING"
# The conversation is free again, unless its answer took so long that another turn has begun.
_FREED: Final = """
    updated_at = now(), answer_id = greatest(conversations.answer_id, :answer_id),
    busy_until = CASE WHEN conversations.answer_id = :answer_id THEN NULL ELSE conversations.busy_until END
"""

# The conversation is locked first, as whoever deletes it does: the two wait for each other, and never both.
_FINISH = text(f"""
    WITH held AS MATERIALIZED (
        SELECT id FROM conversations WHERE id = :conversation_id AND team_id = :team_id FOR UPDATE
    ), answer AS (
        UPDATE messages SET status = :status, parts = CAST(:answer AS jsonb), sources = CAST(:sources AS jsonb),
            retrieval = :retrieval, model = :model, input_tokens = :input_tokens, output_tokens = :output_tokens,
            error_code = :error_code, finished_at = :finished_at
        FROM held WHERE messages.conversation_id = held.id AND messages.id = :answer_id AND status = 'streaming'
        RETURNING conversation_id
    ), freed AS (
        UPDATE conversations SET {_FREED} FROM answer WHERE conversations.id = answer.conversation_id
    ), over AS (
        DELETE FROM stream_events WHERE message_id = :answer_id
    ), logged AS ({_LOGGED} {_ONCE})
    SELECT count(*) FROM answer
""")  # noqa: S608

_SAVE_WHOLE = text(f"""
    WITH opened AS (
        INSERT INTO conversations (id, team_id, user_id, title, answer_id)
        SELECT :conversation_id, :team_id, :user_id, :title, :answer_id WHERE :opens
        ON CONFLICT (id) DO NOTHING RETURNING id
    ), freed AS (
        UPDATE conversations SET {_FREED}
        WHERE id = :conversation_id AND team_id = :team_id AND user_id IS NOT DISTINCT FROM CAST(:user_id AS uuid)
        RETURNING id
    ), conversation AS (SELECT id FROM opened UNION ALL SELECT id FROM freed), said AS (
        INSERT INTO messages (id, team_id, conversation_id, parent_id, role, status, parts, sources, retrieval, model,
            input_tokens, output_tokens, error_code, finished_at)
        SELECT said.id, :team_id, conversation.id, said.parent_id, said.role, said.status, said.parts, said.sources,
            said.retrieval, said.model, said.input_tokens, said.output_tokens, said.error_code, said.finished_at
        FROM conversation, (VALUES
            (CAST(:question_id AS uuid), (
                SELECT id FROM messages
                WHERE conversation_id = :conversation_id AND active AND id < :question_id ORDER BY id DESC LIMIT 1
            ), 'user', 'complete', CAST(:question AS jsonb), NULL, NULL, NULL, NULL, NULL, NULL, NULL),
            (CAST(:answer_id AS uuid), :question_id, 'assistant', :status, CAST(:answer AS jsonb),
                CAST(:sources AS jsonb), :retrieval, :model, CAST(:input_tokens AS integer),
                CAST(:output_tokens AS integer), :error_code, CAST(:finished_at AS timestamptz))
        ) AS said (id, parent_id, role, status, parts, sources, retrieval, model, input_tokens, output_tokens,
            error_code, finished_at)
        ON CONFLICT (id) DO UPDATE SET status = excluded.status, parts = excluded.parts, sources = excluded.sources,
            retrieval = excluded.retrieval, model = excluded.model, input_tokens = excluded.input_tokens,
            output_tokens = excluded.output_tokens, error_code = excluded.error_code,
            finished_at = excluded.finished_at
        WHERE messages.status = 'streaming' AND messages.conversation_id = excluded.conversation_id
    ), logged AS (
        {_LOGGED} FROM conversation {_ONCE}
    )
    SELECT count(*) FROM conversation
""")  # noqa: S608
