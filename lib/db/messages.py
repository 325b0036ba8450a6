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
AFTER_ALL: Final = f"CAST('{LAST}' AS uuid)"
"""The same in SQL."""
BEFORE_ALL: Final = f"CAST('{UUID(int=0)}' AS uuid)"
"""SQL for an id before every other."""


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


def stretch(
    conversation: str, *, than: str = AFTER_ALL, of: str = "messages", active: bool = True, newer: bool = False
) -> str:
    """Return conditions that choose messages of a conversation: those that it shows, or those beside them.

    Together with `in_order` they name a stretch of the index on conversation, path and id, and what bounds it. The same
    could be said with `active` and `ORDER BY id`, and would leave Postgres a choice: where it knows of few
    conversations, or plans for any of them, it walks the primary key backwards, past everybody's messages, until it has
    met enough of this one's. An equality is set aside when it looks for an order; an inequality is not.

    Args:
        conversation: SQL for its id.
        than: SQL for an id; those messages are chosen that are older, or newer.
        of: what the table is called there.
        active: whether they are on the path that it shows.
        newer: choose newer ones.
    """
    shown, (begins, ends) = str(active).lower(), (">", "<=") if newer else ("<", ">=")
    return (
        f"{of}.conversation_id = {conversation}"
        f" AND {of}.active {ends} {shown} AND ({of}.active, {of}.id) {begins} ({shown}, {than})"
    )


def in_order(*, of: str = "messages", newer: bool = False) -> str:
    """Return what a `stretch` is ordered by: those first that are nearest to where it begins."""
    return ", ".join(f"{of}.{column} {'ASC' if newer else 'DESC'}" for column in ("active", "id"))


def _on_path(newer: bool) -> str:
    return f"""
        FROM messages AS message WHERE {stretch("chosen.id", of="message", than=":beyond", newer=newer)}
        ORDER BY {in_order(of="message", newer=newer)} LIMIT :messages
    """


def _in_tree(newer: bool) -> str:
    """Without OFFSET 0 each message would be made into JSON three times, wherever `messages_of` speaks of it."""
    shown, beside = (
        f"""
            (SELECT id FROM messages WHERE {stretch("chosen.id", active=active, than=":beyond", newer=newer)}
            ORDER BY {in_order(newer=newer)} LIMIT :messages)
        """  # noqa: S608
        for active in (True, False)
    )
    return f"""
        FROM ({shown} UNION ALL {beside} ORDER BY id {"ASC" if newer else "DESC"} LIMIT :messages) AS one
        JOIN messages AS message ON message.id = one.id OFFSET 0
    """


def _has_more(active: bool, newer: bool) -> str:
    return f"""
        (SELECT id FROM messages WHERE {stretch("bounded.id", active=active, than="bounded.last", newer=newer)}
        ORDER BY {in_order(newer=newer)} LIMIT 1) IS NOT NULL
    """  # noqa: S608


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
    order = "ASC" if newer else "DESC"
    taken = _in_tree(newer) if tree else _on_path(newer)
    rest = " OR ".join(_has_more(active, newer) for active in ((True, False) if tree else (True,)))
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
