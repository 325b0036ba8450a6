"""How a turn ends: its answer and its line in the log, in one statement."""

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import text

from lib.db.messages import in_order, stretch
from lib.db.session import Connection
from lib.turns import EndedTurn, Kept, TurnRecord, TurnResult, title_of

ATTEMPTS: Final = 4
"""How often a whole turn is kept while others keep changing its conversation."""


async def finish(connection: Connection, turn: TurnRecord, result: TurnResult, *, by_writer: bool = True) -> bool:
    """Keep the answer and the log line. Return whether the conversation was still there to take it.

    Whoever wrote the answer knows best: `by_writer`, it also replaces what others took to be interrupted. Those log
    only what they ended, and do not make the conversation any newer. What its reader has had stopped stays so.
    """
    parameters = _result_parameters(turn, result, by_writer=by_writer)
    return (await connection.execute(_FINISH, parameters, last=True)).scalar_one() == 1


async def save_whole(connection: Connection, ended: EndedTurn) -> Kept:
    """Keep a turn that was not begun, as far as anybody knows: an answer still `streaming` under its id is completed.

    Doing it twice changes nothing. A conversation that never was there is opened, also by a turn that was to continue
    it: the one that opened it may be lost.
    """
    return await _save_whole(connection, ended, at=None)


async def replay(connection: Connection, ended: EndedTurn) -> Kept:
    """Keep a turn that had to wait, as of when it ended. Doing it twice changes nothing.

    What was said in its conversation since goes on behind it. A stop that came after its reader had the whole of it
    takes nothing back.
    """
    if not ended.begun:
        return await _save_whole(connection, ended, at=ended.result.finished_at)
    parameters = _result_parameters(ended.turn, ended.result, at=ended.result.finished_at)
    return "kept" if (await connection.execute(_FINISH, parameters)).scalar_one() == 1 else "known"


async def _save_whole(connection: Connection, ended: EndedTurn, *, at: datetime | None) -> Kept:
    turn = ended.turn
    asked = {
        "question_id": turn.question_id,
        "question": msgspec.json.encode([{"type": "text", "text": turn.question}]).decode(),
        "opens": turn.opens,
        "title": title_of(turn.question),
        "asked_at": ended.asked_at,
        "body_hash": turn.key and turn.key.body_hash,
    }
    parameters = _result_parameters(turn, ended.result, at=at) | asked
    kept = "moved"
    # What others do to the conversation at this moment a statement that waits for them does not see. The next does.
    for _ in range(ATTEMPTS):
        kept = (await connection.execute(_SAVE_WHOLE, parameters)).scalar_one()
        if kept not in {"moved", "refused"}:
            break
    return "later" if kept == "moved" else kept


def _parts(result: TurnResult) -> str:
    """Return the parts of an answer: its text first."""
    parts = [{"type": "text", "text": result.text}] if result.text or result.reasoning else []
    if result.reasoning:
        parts.append({"type": "reasoning", "text": result.reasoning})
    return msgspec.json.encode(parts).decode()


def _result_parameters(
    turn: TurnRecord, result: TurnResult, *, at: datetime | None = None, by_writer: bool = True
) -> dict[str, Any]:
    """Return what each end of a turn is told; `at` is when one ended that had to wait, and whose reader was told so."""
    return {
        "at": at,
        "by_writer": by_writer,
        "told_whole": at is not None and result.outcome == "complete",
        "team_id": turn.team_id,
        "user_id": turn.user_id,
        "conversation_id": turn.conversation_id,
        "answer_id": turn.answer_id,
        "key_hash": turn.key and turn.key.key_hash,
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
        error_code, retrieval, passages, input_tokens, output_tokens, cost_usd, first_token_ms, total_ms, created_at)
    SELECT :answer_id, :team_id, :user_id, :conversation_id, :answer_id, :model, :agent_id, :outcome,
        :error_code, :retrieval, :passages, :input_tokens, :output_tokens, :cost_usd, :first_token_ms, :total_ms,
        coalesce(CAST(:at AS timestamptz), now())
"""
# What others took for the end, whoever wrote the answer knows better. Others do not know its model.
_BY_OTHERS: Final = """
    (:by_writer AND (interaction_logs.outcome = 'interrupted'
        OR interaction_logs.outcome = 'stopped' AND interaction_logs.model IS NULL AND :told_whole))
"""
# A turn has one row of the log, by the answer's own id, however often it is ended.
_ONCE: Final = f"""
    ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, error_code = excluded.error_code,
        model = excluded.model, agent_id = excluded.agent_id, retrieval = excluded.retrieval,
        passages = excluded.passages, input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
        cost_usd = excluded.cost_usd, first_token_ms = excluded.first_token_ms, total_ms = excluded.total_ms
    WHERE {_BY_OTHERS}
"""
# The conversation is free again, unless its answer took so long that another turn has begun.
_FREED: Final = """
    answer_id = greatest(conversations.answer_id, :answer_id), updated_at = CASE
        WHEN :by_writer THEN greatest(conversations.updated_at, coalesce(CAST(:at AS timestamptz), now()))
        ELSE conversations.updated_at END,
    busy_until = CASE WHEN conversations.answer_id = :answer_id THEN NULL ELSE conversations.busy_until END
"""
_OPEN: Final = """
    (messages.status = 'streaming' OR :by_writer AND (messages.status = 'interrupted'
        OR messages.status = 'stopped' AND messages.model IS NULL AND :told_whole))
"""

# The conversation is locked first, as whoever deletes it does: the two wait for each other, and never both. An answer
# whose retry was kept as it came in first stays what it is.
_FINISH = text(f"""
    WITH held AS MATERIALIZED (
        SELECT id FROM conversations WHERE id = :conversation_id AND team_id = :team_id AND NOT EXISTS (
            SELECT FROM turn_keys JOIN messages ON messages.id = turn_keys.answer_id
            WHERE turn_keys.key_hash = CAST(:key_hash AS bytea) AND turn_keys.answer_id <> :answer_id
            AND messages.status IN ('complete', 'stopped')
        ) FOR UPDATE
    ), answer AS (
        UPDATE messages SET status = :status, parts = CAST(:answer AS jsonb), sources = CAST(:sources AS jsonb),
            retrieval = :retrieval, model = :model, input_tokens = :input_tokens, output_tokens = :output_tokens,
            error_code = :error_code, finished_at = :finished_at
        FROM held WHERE messages.conversation_id = held.id AND messages.id = :answer_id AND {_OPEN}
        RETURNING conversation_id
    ), freed AS (
        UPDATE conversations SET {_FREED} FROM answer WHERE conversations.id = answer.conversation_id
    ), over AS (
        DELETE FROM stream_events WHERE message_id = :answer_id
    ), logged AS (
        {_LOGGED} WHERE EXISTS (SELECT FROM answer) OR :by_writer AND CAST(:key_hash AS bytea) IS NULL {_ONCE}
    )
    SELECT count(*) FROM answer
""").execution_options(generic_plan=True)  # noqa: S608

_ELDER: Final = "conversation_id = :conversation_id AND id < :question_id"


def _last(*, active: bool) -> str:
    """Return a query for the last message before the question, of those that are shown, or of the others."""
    before = stretch(":conversation_id", than=":question_id", active=active)
    return f"SELECT id FROM messages WHERE {before} ORDER BY {in_order()} LIMIT 1"  # noqa: S608


# `before` is what is known before anything is done: whether this turn was ended once, perhaps in a conversation that
# was deleted since; how its retry stands, if there was one, whose key is this turn's again where it came to nothing;
# and where the turn belongs. That is behind what was shown last when it was asked: where the path was left since, at an
# older message, it is the newest one, which is shown no more. Its conversation is then taken as it was seen, or not at
# all, as when a turn begins.
_SAVE_WHOLE = text(f"""
    WITH retry AS (
        SELECT messages.status, coalesce(conversations.busy_until > now(), false) AS busy
        FROM turn_keys JOIN messages ON messages.id = turn_keys.answer_id
        JOIN conversations ON conversations.id = messages.conversation_id
        WHERE turn_keys.key_hash = CAST(:key_hash AS bytea) AND turn_keys.answer_id <> :answer_id
    ), seen AS (
        SELECT xmin AS version, user_id IS NOT DISTINCT FROM CAST(:user_id AS uuid) AS mine
        FROM conversations WHERE id = :conversation_id AND team_id = :team_id
    ), place AS MATERIALIZED (
        SELECT last.shown, greatest(last.shown, last.hidden) AS newest, coalesce((
            SELECT EXISTS (
                SELECT FROM messages WHERE {_ELDER} AND parent_id = next.parent_id
            ) OR next.parent_id IS NULL AND EXISTS (SELECT FROM messages WHERE {_ELDER} AND parent_id IS NULL)
            FROM (
                SELECT parent_id FROM messages WHERE {stretch(":conversation_id", than=":answer_id", newer=True)}
                ORDER BY {in_order(newer=True)} LIMIT 1
            ) AS next
        ), false) AS left_since
        FROM (SELECT ({_last(active=True)}) AS shown, ({_last(active=False)}) AS hidden) AS last
    ), before AS MATERIALIZED (
        SELECT EXISTS (SELECT FROM interaction_logs WHERE id = :answer_id AND NOT {_BY_OTHERS}) AS ended,
            seen.version, coalesce(seen.mine, false) AS mine,
            CASE
                WHEN seen.mine IS NOT NULL THEN false
                WHEN EXISTS (SELECT FROM interaction_logs WHERE id = :answer_id) THEN true
                WHEN :opens THEN false
                ELSE EXISTS (
                    SELECT FROM interaction_logs
                    WHERE user_id = CAST(:user_id AS uuid) AND conversation_id = :conversation_id
                )
            END AS deleted,
            EXISTS (SELECT FROM retry WHERE status IN ('complete', 'stopped')) AS answered,
            EXISTS (SELECT FROM retry WHERE status = 'streaming' AND busy) AS being_answered,
            EXISTS (SELECT FROM messages WHERE id = :answer_id) AS begun,
            NOT left_since OR shown IS NOT DISTINCT FROM newest AS active,
            CASE WHEN left_since THEN newest ELSE shown END AS parent_id
        FROM place LEFT JOIN seen ON true
    ), due AS (SELECT * FROM before WHERE NOT ended AND NOT answered AND NOT being_answered), opened AS (
        INSERT INTO conversations (id, team_id, user_id, title, answer_id, created_at, updated_at)
        SELECT :conversation_id, :team_id, :user_id, :title, :answer_id,
            coalesce(CAST(:asked_at AS timestamptz), now()), coalesce(CAST(:at AS timestamptz), now())
        FROM due WHERE NOT deleted AND version IS NULL
        ON CONFLICT (id) DO NOTHING RETURNING id
    ), freed AS (
        UPDATE conversations SET {_FREED} FROM due
        WHERE id = :conversation_id AND team_id = :team_id AND due.mine AND conversations.xmin = due.version
        RETURNING id
    ), conversation AS (SELECT id FROM opened UNION ALL SELECT id FROM freed), key AS (
        INSERT INTO turn_keys (key_hash, team_id, body_hash, conversation_id, answer_id)
        SELECT CAST(:key_hash AS bytea), :team_id, CAST(:body_hash AS bytea), conversation.id, :answer_id
        FROM conversation WHERE CAST(:key_hash AS bytea) IS NOT NULL
        ON CONFLICT (key_hash) DO UPDATE SET body_hash = excluded.body_hash, answer_id = excluded.answer_id,
            conversation_id = excluded.conversation_id
    ), moved AS (
        UPDATE messages SET parent_id = :answer_id FROM conversation, due
        WHERE NOT due.begun AND due.active AND messages.id > :answer_id AND messages.id = ANY (ARRAY(
            SELECT id FROM messages WHERE conversation_id = :conversation_id AND parent_id = (SELECT parent_id FROM due)
            UNION ALL
            SELECT id FROM messages WHERE conversation_id = :conversation_id AND parent_id IS NULL
            AND (SELECT parent_id IS NULL FROM due)
        ))
    ), said AS (
        INSERT INTO messages (id, team_id, conversation_id, parent_id, active, role, status, parts, sources, retrieval,
            model, input_tokens, output_tokens, error_code, finished_at, created_at)
        SELECT said.id, :team_id, conversation.id, said.parent_id, due.active, said.role, said.status, said.parts,
            said.sources, said.retrieval, said.model, said.input_tokens, said.output_tokens, said.error_code,
            said.finished_at, coalesce(CAST(:asked_at AS timestamptz), now())
        FROM conversation, due, LATERAL (VALUES
            (CAST(:question_id AS uuid), due.parent_id, 'user', 'complete', CAST(:question AS jsonb), NULL, NULL, NULL,
                NULL, NULL, NULL, NULL),
            (CAST(:answer_id AS uuid), :question_id, 'assistant', :status, CAST(:answer AS jsonb),
                CAST(:sources AS jsonb), :retrieval, :model, CAST(:input_tokens AS integer),
                CAST(:output_tokens AS integer), :error_code, CAST(:finished_at AS timestamptz))
        ) AS said (id, parent_id, role, status, parts, sources, retrieval, model, input_tokens, output_tokens,
            error_code, finished_at)
        ON CONFLICT (id) DO UPDATE SET status = excluded.status, parts = excluded.parts, sources = excluded.sources,
            retrieval = excluded.retrieval, model = excluded.model, input_tokens = excluded.input_tokens,
            output_tokens = excluded.output_tokens, error_code = excluded.error_code,
            finished_at = excluded.finished_at
        WHERE messages.conversation_id = excluded.conversation_id AND {_OPEN}
    ), logged AS (
        {_LOGGED} FROM conversation {_ONCE}
    )
    SELECT CASE
        WHEN before.deleted THEN 'known'
        WHEN before.ended OR EXISTS (SELECT FROM conversation) THEN 'kept'
        WHEN before.being_answered THEN 'later'
        WHEN before.answered THEN 'answered'
        WHEN before.mine THEN 'moved'
        ELSE 'refused' END
    FROM before
""")  # noqa: S608
