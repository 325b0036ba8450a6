"""Conversations as their owner sees, makes, changes and deletes them. A stranger's is not there."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, TypedDict
from uuid import UUID

from sqlalchemy import TextClause, text

from lib.db.messages import BUDGET, LAST, Message, messages_of, read_messages
from lib.db.session import Connection
from lib.errors import AgentNotFound, ConversationNotFound
from lib.ids import unguessable_id

UNTITLED: Final = "New conversation"
"""What a conversation without a title is called until its first question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose conversations a statement reads or changes."""

    team_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation, with the newest messages of the path that it shows, oldest first.

    Attributes:
        id: its id.
        team_id: its team.
        user_id: whose it is.
        agent_id: who answers in it; None for the deployment's own models.
        title: what it is called.
        messages: so many as were asked for; `has_more` says whether there are older ones.
        metadata: what its owner's front end keeps with it.
        is_archived: whether it was put away.
        is_pinned: whether it is kept, however many newer ones there are.
        created_at: when it was begun.
        updated_at: when something was last said in it.
        has_more: as above.
    """

    id: UUID
    team_id: UUID
    user_id: UUID
    agent_id: UUID | None
    title: str
    messages: tuple[Message, ...]
    metadata: dict[str, Any]
    is_archived: bool
    is_pinned: bool
    created_at: datetime
    updated_at: datetime
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list is to hold.

    Attributes:
        limit: how many conversations at most.
        offset: how many to pass over.
        after: the id of the last one of the page before.
        archived: only those that were put away, or only those that were not; None for both.
        pinned: only those that are pinned, or only those that are not; None for both.
        messages: how many of the newest messages of each.
    """

    limit: int
    offset: int = 0
    after: UUID | None = None
    archived: bool | None = None
    pinned: bool | None = None
    messages: int = 0


class Changes(TypedDict, total=False):
    """What is to be another value; what is not named stays."""

    title: str
    is_archived: bool
    is_pinned: bool
    metadata: dict[str, Any]
    agent_id: UUID | None


async def create(
    connection: Connection, owner: Owner, *, title: str | None, agent_id: UUID | None, metadata: dict[str, Any]
) -> Conversation:
    """Begin a conversation in which nothing is said yet.

    Raises:
        AgentNotFound: the team has no such agent that is active.
    """
    given = _of(owner, unguessable_id()) | {
        "title": title or UNTITLED,
        "titled_by": "user" if title else "question",
        "agent_id": agent_id,
        "metadata": json.dumps(metadata),
    }
    made = (await connection.execute(_CREATE, given)).mappings().one_or_none()
    if made is None:
        raise AgentNotFound
    return Conversation(**made, messages=(), has_more=False)


async def page(connection: Connection, owner: Owner, wanted: Wanted) -> tuple[Conversation, ...]:
    """Return conversations, those first in which something was said last.

    Raises:
        ConversationNotFound: there is none that the page could come after.
    """
    statement = _page(wanted.after is not None, wanted.archived is not None, wanted.pinned is not None)
    given = {
        "team_id": owner.team_id,
        "user_id": owner.user_id,
        "limit": wanted.limit,
        "offset": wanted.offset,
        "after": wanted.after,
        "archived": wanted.archived,
        "pinned": wanted.pinned,
        **_newest(wanted.messages),
    }
    rows = (await connection.execute(statement, given)).all()
    if not rows and wanted.after is not None:
        await _confirm(connection, owner, wanted.after)
    return tuple(_conversation(row) for row in rows)


async def find(connection: Connection, owner: Owner, conversation_id: UUID, *, messages: int) -> Conversation:
    """Return a conversation with its newest messages.

    Raises:
        ConversationNotFound: there is none of this owner's.
    """
    row = (await connection.execute(_FIND, _of(owner, conversation_id) | _newest(messages))).one_or_none()
    if row is None:
        raise ConversationNotFound
    return _conversation(row)


async def whole(connection: Connection, owner: Owner, conversation_id: UUID, *, budget: int) -> Conversation:
    """Return a conversation with its messages of every branch, so many bytes of them at most, and one message more.

    Raises:
        ConversationNotFound: there is none of this owner's.
    """
    given = _of(owner, conversation_id) | {"messages": _ALL, "beyond": LAST, "budget": budget}
    row = (await connection.execute(_WHOLE, given)).one_or_none()
    if row is None:
        raise ConversationNotFound
    return _conversation(row)


async def change(
    connection: Connection, owner: Owner, conversation_id: UUID, changes: Changes, *, messages: int
) -> Conversation:
    """Change a conversation, and return it as it is now. Its place in lists stays: nothing was said.

    Raises:
        ConversationNotFound: there is none of this owner's.
        AgentNotFound: it was to be with an agent that the team does not have, or that is not active.
    """
    if not changes:
        return await find(connection, owner, conversation_id, messages=messages)
    given: dict[str, Any] = {**changes, **_of(owner, conversation_id), **_newest(messages)}
    if "metadata" in changes:
        given["metadata"] = json.dumps(changes["metadata"])
    row = (await connection.execute(_change(frozenset(changes)), given)).one_or_none()
    if row is None:
        await _confirm(connection, owner, conversation_id)
        raise AgentNotFound
    return _conversation(row)


async def delete(connection: Connection, owner: Owner, conversation_id: UUID) -> None:
    """Delete a conversation with all that was said in it.

    Raises:
        ConversationNotFound: there is none of this owner's.
    """
    if (await connection.execute(_DELETE, _of(owner, conversation_id))).rowcount == 0:
        raise ConversationNotFound


async def _confirm(connection: Connection, owner: Owner, conversation_id: UUID) -> None:
    """Raise ConversationNotFound where there is no such conversation: asked only after nothing was found."""
    if (await connection.execute(_CONFIRM, _of(owner, conversation_id))).one_or_none() is None:
        raise ConversationNotFound


def _of(owner: Owner, conversation_id: UUID) -> dict[str, Any]:
    return {"team_id": owner.team_id, "user_id": owner.user_id, "conversation_id": conversation_id}


def _newest(messages: int) -> dict[str, Any]:
    return {"messages": messages, "beyond": LAST, "budget": BUDGET}


def _conversation(row: Any) -> Conversation:
    shown = {name: getattr(row, name) for name in (*_COLUMNS, "has_more")}
    return Conversation(**shown, messages=read_messages(row.messages))


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_COLUMNS: Final = tuple(name for name in Conversation.__dataclass_fields__ if name not in {"messages", "has_more"})
_SHOWN: Final = ", ".join(_COLUMNS)
_OWN: Final = "team_id = :team_id AND user_id = :user_id"
# What is ordered is a user's. A plan for any of them takes an index of teams for as good as the one of users, and sorts
# all that is there. Through coalesce() the condition is the same, and leads to no index.
_OF_USER: Final = "coalesce(team_id = :team_id, false) AND user_id = :user_id"
_ONE: Final = f"id = :conversation_id AND {_OWN}"
_AGENT_IS_THERE: Final = """
    CAST(:agent_id AS uuid) IS NULL OR EXISTS (
        SELECT FROM agents
        WHERE id = CAST(:agent_id AS uuid) AND team_id = :team_id AND is_active AND deleted_at IS NULL
    )
"""

_CREATE: Final = text(f"""
    INSERT INTO conversations (id, team_id, user_id, title, titled_by, agent_id, metadata)
    SELECT :conversation_id, :team_id, :user_id, :title, :titled_by, CAST(:agent_id AS uuid), CAST(:metadata AS jsonb)
    WHERE {_AGENT_IS_THERE}
    RETURNING {_SHOWN}
""")

_FOUND: Final = f"SELECT {_SHOWN}, 1 AS place FROM conversations WHERE {_ONE}"  # noqa: S608
_FIND: Final = text(messages_of(_FOUND))
_WHOLE: Final = text(messages_of(_FOUND, tree=True))
_ALL: Final = 1_000_000_000
# The log tells of an answer that is being written there: so it is known to have been, should it be kept later.
_DELETE: Final = text(f"""
    WITH written AS (
        INSERT INTO interaction_logs (id, team_id, user_id, conversation_id, message_id, agent_id, outcome)
        SELECT messages.id, :team_id, :user_id, conversations.id, messages.id, conversations.agent_id, 'interrupted'
        FROM conversations JOIN messages ON messages.conversation_id = conversations.id
        WHERE conversations.id = :conversation_id AND conversations.team_id = :team_id
        AND conversations.user_id = :user_id AND messages.status = 'streaming'
        ON CONFLICT (id) DO NOTHING
    )
    DELETE FROM conversations WHERE {_ONE}
""")  # noqa: S608
_CONFIRM: Final = text(f"SELECT id FROM conversations WHERE {_ONE}")  # noqa: S608

_VALUES: Final = {
    "title": "title = :title, titled_by = 'user'",
    "is_archived": "is_archived = :is_archived",
    "is_pinned": "is_pinned = :is_pinned",
    "metadata": "metadata = CAST(:metadata AS jsonb)",
    "agent_id": "agent_id = CAST(:agent_id AS uuid)",
}


@cache
def _page(after: bool, archived: bool, pinned: bool) -> TextClause:
    """Return the statement of a list, with the conditions that are asked for."""
    conditions = [
        _OF_USER,
        *(["is_archived = :archived"] if archived else []),
        *(["is_pinned = :pinned"] if pinned else []),
        *([f"(updated_at, id) < (SELECT updated_at, id FROM conversations WHERE id = :after AND {_OWN})"] * after),  # noqa: S608
    ]
    return text(
        messages_of(f"""
            SELECT {_SHOWN}, row_number() OVER (ORDER BY updated_at DESC, id DESC) AS place
            FROM (
                SELECT {_SHOWN} FROM conversations WHERE {" AND ".join(conditions)}
                ORDER BY updated_at DESC, id DESC LIMIT :limit OFFSET :offset
            ) AS page
        """)  # noqa: S608
    )


@cache
def _change(names: frozenset[str]) -> TextClause:
    """Return the statement that changes these columns."""
    assigned = ", ".join(_VALUES[name] for name in sorted(names))
    agent = f"AND ({_AGENT_IS_THERE})" if "agent_id" in names else ""
    changed = f"UPDATE conversations SET {assigned} WHERE {_ONE} {agent} RETURNING {_SHOWN}"  # noqa: S608
    return text(messages_of(f"SELECT {_SHOWN}, 1 AS place FROM changed", ahead=f"changed AS ({changed}),"))  # noqa: S608
