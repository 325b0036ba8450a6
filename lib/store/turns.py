"""How a turn begins: its question and the place of its answer, committed before anybody is asked.

Each function is one statement, so that it costs one round trip and holds no lock while a model thinks.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import text

from lib.agents.agent import COLUMNS
from lib.db.begun import agent_of, allowance_of, history_of, hosts_of, reason_of, taken_by
from lib.db.branching import ALONG_PATH, LEAVES_PATH, MOVES_PATH
from lib.db.limits import HIT, WITHIN, Hit, hit_parameters
from lib.db.messages import in_order, stretch
from lib.db.session import Connection
from lib.errors import AgentNotFound
from lib.turns import Begun, KeyTaken, TurnRecord, title_of


async def begin(connection: Connection, turn: TurnRecord, *, busy: float, hit: Hit | None = None) -> Begun:
    """Open a conversation with the user's message and the place of the answer, and count the turn, if `hit` says so.

    Args:
        connection: of the tenant.
        turn: what is begun.
        busy: seconds after which nobody writes this answer any more.
        hit: for whom the turn counts.

    Raises:
        RateLimited: there were too many turns. Nothing is stored, as with each of these.
        AgentNotFound: the conversation was to be with an agent that the team does not have.
        KeyTaken: the turn was begun before.
        Unauthenticated: whoever asks is signed in no longer, or the account or the team is not active.
    """
    parameters = _parameters(turn, busy, hit) | {"agent_id": turn.agent_id}
    row = (await connection.execute(_BEGIN, parameters, last=True)).one()
    allowance = allowance_of(row, hit)
    if not row.found:
        raise AgentNotFound if turn.agent_id and row.agent_id is None else KeyTaken(taken_by(row, turn))
    return Begun(allowance=allowance, agent=agent_of(row), hosts=hosts_of(row), untitled=True)


async def continue_(
    connection: Connection, turn: TurnRecord, *, limit: int, busy: float, hit: Hit | None = None
) -> Begun:
    """Add the user's message and the place of the answer, as `begin`; read the last `limit` messages before it.

    A turn that branches leaves the path where its branch says: what followed there stays, and is shown no more.

    Raises:
        RateLimited, KeyTaken, Unauthenticated: as `begin`.
        MadeTooEarly: the turn's ids are older than what was said last.
        Moved: others changed the conversation at the same moment.
        ConversationNotFound: it does not exist, or is not this caller's.
        MessageNotFound: the conversation has no such message to branch at.
        ConversationBusy: another answer is being written.
        AgentUnavailable: the conversation's agent answers no more.
    """
    parameters = _parameters(turn, busy, hit) | {"limit": limit}
    if turn.branch:
        parameters |= {"branch_at": turn.branch.message_id}
    statement = {None: _CONTINUE, "edit": _EDIT, "regenerate": _REGENERATE}[turn.branch and turn.branch.kind]
    row = (await connection.execute(statement, parameters, last=True)).one()
    allowance = allowance_of(row, hit)
    if not row.found:
        raise reason_of(row, turn)
    return Begun(history_of(row), allowance, agent_of(row), hosts_of(row), row.question, row.untitled)


def _parameters(turn: TurnRecord, busy: float, hit: Hit | None) -> dict[str, Any]:
    return {
        "team_id": turn.team_id,
        "user_id": turn.user_id,
        "conversation_id": turn.conversation_id,
        "question_id": turn.question_id,
        "question": msgspec.json.encode([{"type": "text", "text": turn.question}]).decode(),
        "answer_id": turn.answer_id,
        "title": title_of(turn.question),
        "busy": busy,
        "key_hash": turn.key and turn.key.key_hash,
        "body_hash": turn.key and turn.key.body_hash,
        **hit_parameters(hit),
    }


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_AGENT: Final = ", ".join(f"agent.{name} AS agent_{name}" for name in COLUMNS)
_HOSTS: Final = "(SELECT settings -> 'webhook_allowed_hosts' FROM teams WHERE teams.id = :team_id) AS hosts"

# A key that was used before lets nothing else of the statement happen. One that is being used by another statement is
# waited for.
_KEY: Final = f"""
    key AS (
        INSERT INTO turn_keys (key_hash, team_id, body_hash, conversation_id, answer_id)
        SELECT CAST(:key_hash AS bytea), :team_id, CAST(:body_hash AS bytea), place.id, :answer_id FROM place
        WHERE CAST(:key_hash AS bytea) IS NOT NULL AND {WITHIN}
        ON CONFLICT (key_hash) DO NOTHING RETURNING key_hash
    )
"""  # noqa: S608
_TAKEN_BY: Final = """
    taken.conversation_id AS taken_conversation_id, taken.answer_id AS taken_answer_id,
    taken.body_hash AS taken_body_hash, EXISTS (SELECT FROM messages WHERE messages.id = taken.answer_id) AS taken_began
"""
_BEFORE: Final = """
    LEFT JOIN turn_keys AS taken ON taken.key_hash = CAST(:key_hash AS bytea) AND taken.team_id = :team_id
"""
_FRESH: Final = "(CAST(:key_hash AS bytea) IS NULL OR EXISTS (SELECT FROM key))"
_BUSY_UNTIL: Final = "now() + make_interval(secs => :busy)"

_BEGIN = text(f"""
    WITH {HIT}, agent AS (
        SELECT * FROM agents
        WHERE id = CAST(:agent_id AS uuid) AND team_id = :team_id AND is_active AND deleted_at IS NULL
    ), place AS (
        SELECT CAST(:conversation_id AS uuid) AS id
        WHERE CAST(:agent_id AS uuid) IS NULL OR EXISTS (SELECT FROM agent)
    ), {_KEY}, conversation AS (
        INSERT INTO conversations (id, team_id, user_id, title, agent_id, answer_id, busy_until)
        SELECT place.id, :team_id, :user_id, :title, :agent_id, :answer_id, {_BUSY_UNTIL}
        FROM place WHERE {WITHIN} AND {_FRESH}
        RETURNING id
    ), said AS (
        INSERT INTO messages (id, team_id, conversation_id, parent_id, role, status, parts)
        SELECT said.id, :team_id, conversation.id, said.parent_id, said.role, said.status, said.parts
        FROM conversation, (VALUES
            (CAST(:question_id AS uuid), CAST(NULL AS uuid), 'user', 'complete', CAST(:question AS jsonb)),
            (CAST(:answer_id AS uuid), :question_id, 'assistant', 'streaming', '[]')
        ) AS said (id, parent_id, role, status, parts)
    )
    SELECT hit.hits, hit.seconds_left, conversation.id IS NOT NULL AS found, {_TAKEN_BY}, {_AGENT}, {_HOSTS}
    FROM (SELECT) AS one LEFT JOIN hit ON true LEFT JOIN conversation ON true LEFT JOIN agent ON true {_BEFORE}
""").execution_options(generic_plan=True)  # noqa: S608

_SAID: Final = "messages.status IN ('complete', 'stopped', 'interrupted')"


def _newest(conversation: str) -> str:
    """Return a query for the message that a conversation shows last."""
    return f"SELECT messages.id FROM messages WHERE {stretch(conversation)} ORDER BY {in_order()} LIMIT 1"  # noqa: S608


# What is known of the conversation before anything is changed. Its row is then taken as it was seen, or not at all:
# what others have changed meanwhile, a path or who is writing, this statement's snapshot does not hold.
_KNOWN: Final = """
    known AS (
        SELECT conversations.id, conversations.xmin AS version, conversations.agent_id,
            conversations.titled_by = 'question' AS untitled,
            conversations.answer_id AS newest,
            coalesce(conversations.busy_until > now(), false) AS busy,
            conversations.agent_id IS NULL OR agents.id IS NOT NULL AS answerable
        FROM conversations LEFT JOIN agents
            ON agents.id = conversations.agent_id AND agents.is_active AND agents.deleted_at IS NULL
        WHERE conversations.id = :conversation_id AND conversations.team_id = :team_id
            AND conversations.user_id IS NOT DISTINCT FROM CAST(:user_id AS uuid)
    )
"""
_FREE: Final = "known.answerable AND NOT known.busy AND coalesce(known.newest < :question_id, true)"
_TAKEN: Final = f"""
    conversation AS (
        UPDATE conversations SET updated_at = now(), answer_id = :answer_id, busy_until = {_BUSY_UNTIL},
            title = CASE WHEN titled_by = 'question' AND ({_newest("conversations.id")}) IS NULL
                THEN :title ELSE title END
        FROM place WHERE conversations.id = place.id AND {WITHIN} AND {_FRESH}
            AND conversations.xmin = place.version
        RETURNING conversations.id
    )
"""  # noqa: S608
# The lateral queries read the snapshot from before the inserts beside them, so the new message is not among the rows.
_TOLD: Final = f"""
    SELECT hit.hits, hit.seconds_left, conversation.id IS NOT NULL AS found,
        known.id IS NOT NULL AS known, {{placed}} AS placed, known.answerable, known.busy, known.untitled,
        known.newest,
        CAST(:key_hash AS bytea) IS NOT NULL AND NOT EXISTS (SELECT FROM key) AS key_taken,
        {{question}} AS question, earlier.history, {_TAKEN_BY}, {_AGENT}, {_HOSTS}
    FROM (SELECT) AS one LEFT JOIN hit ON true LEFT JOIN known ON true LEFT JOIN conversation ON true {_BEFORE}
    LEFT JOIN agents AS agent ON agent.id = known.agent_id
    LEFT JOIN LATERAL (
        SELECT CAST(json_agg(json_build_array(role, said, created_at) ORDER BY id) FILTER (WHERE said <> '') AS text)
            AS history
        FROM (
            SELECT messages.id, messages.role, messages.created_at, messages.parts #>> '{{{{0,text}}}}' AS said
            FROM {{earlier}} LIMIT :limit
        ) AS told
    ) AS earlier ON true
"""  # noqa: S608

_CONTINUE = text(f"""
    WITH {HIT}, {_KNOWN}, place AS (SELECT id, version FROM known WHERE {_FREE}), {_KEY}, {_TAKEN}, said AS (
        INSERT INTO messages (id, team_id, conversation_id, parent_id, role, status, parts)
        SELECT said.id, :team_id, conversation.id, said.parent_id, said.role, said.status, said.parts
        FROM conversation, (VALUES
            (CAST(:question_id AS uuid), ({_newest(":conversation_id")}), 'user', 'complete', CAST(:question AS jsonb)),
            (CAST(:answer_id AS uuid), :question_id, 'assistant', 'streaming', '[]')
        ) AS said (id, parent_id, role, status, parts)
    )
    {
    _TOLD.format(
        placed="true",
        question="CAST(NULL AS text)",
        earlier=f"messages WHERE {stretch('conversation.id')} AND {_SAID} ORDER BY {in_order()}",
    )
}
""").execution_options(generic_plan=True)  # noqa: S608

# `asked` is the question, and `stem` what the branch follows.
_BRANCH: Final = f"""
    WITH RECURSIVE {HIT}, {_KNOWN}, target AS (
        SELECT messages.* FROM known JOIN messages ON messages.conversation_id = known.id
        WHERE messages.id = :branch_at {{target}}
    ), {{asked}}, {LEAVES_PATH}, place AS (
        SELECT known.id, known.version FROM known, asked WHERE {_FREE}
    ), {_KEY}, {_TAKEN}, moved AS ({MOVES_PATH}), said AS (
        INSERT INTO messages (id, team_id, conversation_id, parent_id, role, status, parts)
        SELECT said.id, :team_id, conversation.id, said.parent_id, said.role, said.status, said.parts
        FROM conversation, asked, LATERAL (VALUES {{said}}) AS said (id, parent_id, role, status, parts)
    )
"""  # noqa: S608
_ALONG_PATH: Final = f"""
    {ALONG_PATH.format(which=_SAID)} WHERE conversation.id IS NOT NULL AND {_SAID} {{but}} ORDER BY messages.id DESC
"""

_EDIT = text(
    _BRANCH.format(
        target="AND messages.role = 'user'",
        asked="asked AS (SELECT id, parent_id FROM target)",
        stem="parent_id",
        said="""
            (CAST(:question_id AS uuid), asked.parent_id, 'user', 'complete', CAST(:question AS jsonb)),
            (CAST(:answer_id AS uuid), CAST(:question_id AS uuid), 'assistant', 'streaming', '[]')
        """,
    )
    + _TOLD.format(
        placed="EXISTS (SELECT FROM asked)", question="CAST(NULL AS text)", earlier=_ALONG_PATH.format(but="")
    )
)

_REGENERATE = text(
    _BRANCH.format(
        target="",
        asked="""
            asked AS (
                SELECT messages.id, messages.parent_id, messages.parts FROM target JOIN messages
                    ON messages.id = CASE target.role WHEN 'user' THEN target.id ELSE target.parent_id END
            )
        """,
        stem="id",
        said="(CAST(:answer_id AS uuid), asked.id, 'assistant', 'streaming', CAST('[]' AS jsonb))",
    )
    + _TOLD.format(
        placed="EXISTS (SELECT FROM asked)",
        question="(SELECT asked.parts #>> '{0,text}' FROM asked)",
        earlier=_ALONG_PATH.format(but="AND messages.id NOT IN (SELECT id FROM asked)"),
    )
)
