"""Messages of a conversation, for its owner: pages of them, what their reader thinks of them, and which are shown."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import TextClause, text

from lib.db.messages import BUDGET, LAST, MESSAGE, Message, messages_of, read_message, read_messages
from lib.db.session import Connection
from lib.errors import ConversationBusy, ConversationNotFound, MessageNotFound

ATTEMPTS: Final = 3
"""How often a branch is switched to while others change the same conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose conversation is meant, and which."""

    team_id: UUID
    user_id: UUID
    conversation_id: UUID

    @property
    def parameters(self) -> dict[str, Any]:
        """What statements call these."""
        return {"team_id": self.team_id, "user_id": self.user_id, "conversation_id": self.conversation_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Messages, oldest first, and whether there are more where they were taken from: older ones, or newer."""

    messages: tuple[Message, ...]
    has_more: bool


async def page(
    connection: Connection,
    place: Place,
    *,
    limit: int,
    before: UUID | None = None,
    after: UUID | None = None,
    tree: bool = False,
) -> Page:
    """Return the newest messages, those right before one, or those right after one.

    Args:
        connection: of the owner.
        place: whose messages they are.
        limit: how many at most. Of long ones they may be fewer.
        before: the id of the message before which they are.
        after: the id of the message after which they are; not together with `before`.
        tree: of every branch, not only of the path that is shown.

    Raises:
        ConversationNotFound: there is no such conversation of this owner's.
    """
    newer = after is not None
    given = {"messages": limit, "beyond": after or before or LAST, "budget": BUDGET}
    row = (await connection.execute(_page(tree, newer), place.parameters | given)).one_or_none()
    if row is None:
        raise ConversationNotFound
    return Page(messages=read_messages(row.messages), has_more=row.has_more)


async def find(connection: Connection, place: Place, message_id: UUID) -> Message:
    """Return a message.

    Raises:
        ConversationNotFound: there is no such conversation of this owner's.
        MessageNotFound: there is no such message in it.
    """
    return _found((await connection.execute(_FIND, place.parameters | {"message_id": message_id})).one_or_none())


async def rate(
    connection: Connection, place: Place, answer_id: UUID, *, rating: Literal["up", "down"] | None, comment: str | None
) -> Message:
    """Keep what the reader thinks of an answer, or with None take it back.

    Raises:
        ConversationNotFound: there is no such conversation of this owner's.
        MessageNotFound: there is no such answer in it.
    """
    given = {"message_id": answer_id, "rating": rating, "comment": comment}
    return _found((await connection.execute(_RATE, place.parameters | given)).one_or_none())


async def activate(connection: Connection, place: Place, message_id: UUID) -> None:
    """Show the branch of a message: what leads to it, itself, and from there on the newest that follows each time.

    Raises:
        ConversationNotFound: there is no such conversation of this owner's.
        MessageNotFound: there is no such message in it.
        ConversationBusy: an answer is being written in it, or others change it again and again.
    """
    for _ in range(ATTEMPTS):
        row = (await connection.execute(_ACTIVATE, place.parameters | {"message_id": message_id})).one_or_none()
        if row is None:
            raise ConversationNotFound
        if not row.known:
            raise MessageNotFound
        if row.switched:
            return
        if row.busy:
            break
    raise ConversationBusy(retry_after=1)


def _found(row: Any) -> Message:
    if row is None:
        raise ConversationNotFound
    if row.message is None:
        raise MessageNotFound
    return read_message(row.message)


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_OWN: Final = """
    SELECT id, 1 AS place FROM conversations WHERE id = :conversation_id AND team_id = :team_id AND user_id = :user_id
"""


@cache
def _page(tree: bool, newer: bool) -> TextClause:
    return text(messages_of(_OWN, tree=tree, newer=newer))


_FIND: Final = text(f"""
    SELECT CASE WHEN message.id IS NOT NULL THEN {MESSAGE} END AS message
    FROM ({_OWN}) AS own LEFT JOIN messages AS message
        ON message.id = :message_id AND message.conversation_id = own.id
""")  # noqa: S608

_RATE: Final = text(f"""
    WITH own AS ({_OWN}), message AS (
        UPDATE messages SET feedback = :rating, feedback_comment = :comment FROM own
        WHERE messages.id = :message_id AND messages.conversation_id = own.id AND messages.role = 'assistant'
        RETURNING messages.*
    )
    SELECT CASE WHEN message.id IS NOT NULL THEN {MESSAGE} END AS message
    FROM own LEFT JOIN message ON true
""")  # noqa: S608

# The statement reads the tree as it was when it began. If it then had to wait for another that changed the conversation
# (a turn, or another switch: each changes the conversation's row), what it read is old: the row is not the version that
# it saw, nothing is switched, and it is tried again. Each step along the tree is a look-up of its own; a join, or an
# order with a limit, might be planned as a walk through all messages.
_ACTIVATE: Final = text(f"""
    WITH RECURSIVE own AS (
        SELECT conversations.id, conversations.xmin AS version,
            coalesce(conversations.busy_until > now(), false) AS busy
        FROM ({_OWN}) AS one JOIN conversations ON conversations.id = one.id
    ), target AS (
        SELECT messages.id, messages.parent_id
        FROM own JOIN messages ON messages.id = :message_id AND messages.conversation_id = own.id
    ), above AS (
        SELECT id, parent_id FROM target
        UNION ALL
        SELECT before.id, before.parent_id FROM above CROSS JOIN LATERAL (
            SELECT id, parent_id FROM messages
            WHERE id = above.parent_id AND conversation_id = :conversation_id LIMIT 1
        ) AS before
    ), below AS (
        SELECT id FROM target
        UNION ALL
        SELECT next.id FROM below CROSS JOIN LATERAL (
            SELECT (array_agg(id ORDER BY id DESC))[1] AS id FROM messages
            WHERE conversation_id = :conversation_id AND parent_id = below.id
        ) AS next WHERE next.id IS NOT NULL
    ), path AS MATERIALIZED (
        SELECT id FROM above UNION SELECT id FROM below
    ), held AS (
        UPDATE conversations SET updated_at = conversations.updated_at FROM own JOIN target ON true
        WHERE conversations.id = own.id AND conversations.xmin = own.version
            AND (conversations.busy_until IS NULL OR conversations.busy_until <= now())
        RETURNING conversations.id
    ), switched AS (
        UPDATE messages SET active = NOT messages.active FROM held
        WHERE messages.conversation_id = held.id AND messages.active <> (messages.id IN (SELECT id FROM path))
    )
    SELECT EXISTS (SELECT FROM target) AS known, EXISTS (SELECT FROM held) AS switched, own.busy FROM own
""")  # noqa: S608
