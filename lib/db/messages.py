"""Messages as they are shown: how any statement reads them, built in Postgres, and what they are then.

A conversation may hold ten thousand messages, and a message half a megabyte. So each reading is of so many messages at
most, and of so many bytes: what is beyond either is left for the next.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

BUDGET: Final = 3_000_000
"""Bytes after which a reading takes no further message. A buffered function answers with 4.5 MB at most."""

LAST: Final = UUID(int=2**128 - 1)
"""An id after every other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message, and its place in the tree of its conversation.

    Attributes:
        id: UUIDv7: messages of a conversation are in the order of their ids.
        conversation_id: its conversation.
        parent_id: what it follows; None for a first message.
        role: who says it.
        content: its text; empty while it is being written.
        timestamp: when it was whole.
        created_at: when it was begun.
        status: how far it has come.
        active: whether it is on the path that its conversation shows.
        siblings: the other messages that follow the same one.
        reasoning: what the model thought aloud, where it did.
        sources: the passages that the model was given, as `lib.chat.events.Source` has them, and whether each is cited.
        model: which model answered.
        error_code: what it failed with.
        feedback: what its reader thinks of it.
        feedback_comment: why.
    """

    id: UUID
    conversation_id: UUID
    parent_id: UUID | None
    role: Literal["user", "assistant"]
    content: str
    timestamp: datetime
    created_at: datetime
    status: Literal["streaming", "complete", "stopped", "interrupted", "failed"]
    active: bool
    siblings: tuple[UUID, ...]
    reasoning: str | None
    sources: tuple[dict[str, Any], ...]
    model: str | None
    error_code: str | None
    feedback: Literal["up", "down"] | None
    feedback_comment: str | None


def read_message(shown: str) -> Message:
    """Return the message that `MESSAGE` shows."""
    return msgspec.json.decode(shown, type=Message)


def read_messages(shown: str) -> tuple[Message, ...]:
    """Return the messages of a list that `messages_of` shows."""
    return msgspec.json.decode(shown, type=tuple[Message, ...])


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

MESSAGE: Final = """
    CAST(json_build_object(
        'id', message.id, 'conversation_id', message.conversation_id, 'parent_id', message.parent_id,
        'role', message.role, 'content', coalesce(message.parts #>> '{0,text}', ''),
        'timestamp', coalesce(message.finished_at, message.created_at), 'created_at', message.created_at,
        'status', message.status, 'active', message.active, 'reasoning', message.parts #>> '{1,text}',
        'sources', coalesce(message.sources, '[]'), 'model', message.model, 'error_code', message.error_code,
        'feedback', message.feedback, 'feedback_comment', message.feedback_comment,
        'siblings', (
            SELECT coalesce(json_agg(beside.id ORDER BY beside.id), '[]')
            FROM (
                SELECT id FROM messages
                WHERE conversation_id = message.conversation_id AND parent_id = message.parent_id
                UNION ALL
                SELECT id FROM messages
                WHERE conversation_id = message.conversation_id AND parent_id IS NULL AND message.parent_id IS NULL
            ) AS beside
            WHERE beside.id <> message.id
        )
    ) AS text)
"""
"""SQL that shows the row `message` of `messages` as JSON: what `Message` has."""

_ON_PATH: Final = """
    FROM messages AS message
    WHERE message.conversation_id = chosen.id AND message.active AND message.id {beyond} :beyond
    ORDER BY message.id {order} LIMIT :messages
"""
# An index leads to those that are shown, in their order, and to the others; not to both at once. Without OFFSET 0 each
# would be made into JSON three times, wherever the statement below speaks of it.
_IN_TREE: Final = """
    FROM (
        (SELECT id FROM messages WHERE conversation_id = chosen.id AND active AND id {beyond} :beyond
            ORDER BY id {order} LIMIT :messages)
        UNION ALL
        (SELECT id FROM messages WHERE conversation_id = chosen.id AND NOT active AND id {beyond} :beyond
            ORDER BY id {order} LIMIT :messages)
        ORDER BY id {order} LIMIT :messages
    ) AS one JOIN messages AS message ON message.id = one.id OFFSET 0
"""


def messages_of(chosen: str, *, ahead: str = "", tree: bool = False, newer: bool = False) -> str:
    """Return a statement that reads messages of each conversation that another one chooses.

    It answers a row for each, in the order of `chosen.place`: all columns of the other, `messages` for
    `read_messages`, oldest first, and `has_more`. Its parameters, besides the other's own: `messages`, how many to take
    of each conversation; `beyond`, the id before which they are to lie, `LAST` for the newest; `budget`, in bytes.

    Args:
        chosen: an SQL query with the columns `id` and `place`.
        ahead: what it reads, `name AS (...),`: a change of the conversation, say.
        tree: take messages of every branch, not only of the path that is shown.
        newer: take those that lie after `beyond`, the oldest of them first.
    """
    beyond, order = (">", "ASC") if newer else ("<", "DESC")
    taken = (_IN_TREE if tree else _ON_PATH).format(beyond=beyond, order=order)
    rest = " OR ".join(
        f"""EXISTS (
            SELECT FROM messages WHERE conversation_id = bounded.id AND {active} AND id {beyond} bounded.last
        )"""
        for active in (("active", "NOT active") if tree else ("active",))
    )
    return f"""
        WITH {ahead} chosen AS MATERIALIZED ({chosen}), said AS (
            SELECT chosen.id AS conversation_id, taken.id, taken.message,
                sum(octet_length(taken.message)) OVER (ORDER BY chosen.place, taken.id {order})
                    - octet_length(taken.message) AS bytes_before
            FROM chosen CROSS JOIN LATERAL (SELECT message.id, {MESSAGE} AS message {taken}) AS taken
        ), shown AS (
            SELECT conversation_id, '[' || string_agg(message, ',' ORDER BY id) || ']' AS messages,
                (array_agg(id ORDER BY id {order}))[count(*)] AS last
            FROM said WHERE bytes_before <= :budget GROUP BY conversation_id
        ), bounded AS MATERIALIZED (
            SELECT chosen.*, coalesce(shown.messages, '[]') AS messages,
                coalesce(shown.last, CAST(:beyond AS uuid)) AS last
            FROM chosen LEFT JOIN shown ON shown.conversation_id = chosen.id
        )
        SELECT bounded.*, {rest} AS has_more FROM bounded ORDER BY bounded.place
    """  # noqa: S608
