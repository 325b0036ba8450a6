"""Answers that are being written: what they have come to so far, who has to stop, and how they ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from lib.db.session import Connection
from lib.errors import ConversationNotFound, MessageNotFound


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of an answer, in the order of their numbers, packed by whoever wrote them."""

    message_id: UUID
    team_id: UUID
    number: int
    events: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it stands.

    Attributes:
        status: `streaming` while it is written.
        is_late: it is still `streaming`, and past the time at which nobody writes it any more.
        age_ms: milliseconds since it was begun, or the most that the log takes.
        batches: numbers and events of those after the number that was asked for, in order.
    """

    conversation_id: UUID
    status: str
    is_late: bool
    age_ms: int
    agent_id: UUID | None
    text: str
    reasoning: str
    sources: list[dict[str, Any]]
    retrieval: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    error_code: str | None
    finished_at: datetime | None
    batches: tuple[tuple[int, bytes], ...]


async def beat(connection: Connection, batches: Sequence[Batch], under_way: Sequence[UUID]) -> set[UUID]:
    """Keep batches of answers that are still being written; return those of `under_way` that have to stop.

    An answer has to stop when its reader says so, and when it is no longer there to be written.
    """
    parameters = {
        "messages": [batch.message_id for batch in batches],
        "teams": [batch.team_id for batch in batches],
        "numbers": [batch.number for batch in batches],
        "events": [batch.events for batch in batches],
        "under_way": list(under_way),
    }
    return set((await connection.execute(_BEAT, parameters)).scalars())


async def read(
    connection: Connection, *, team_id: UUID, user_id: UUID | None, conversation_id: UUID, message_id: UUID, after: int
) -> Answer:
    """Return an answer of the caller's, with the batches after a number.

    Raises:
        ConversationNotFound: there is no such conversation of this caller.
        MessageNotFound: it has no such answer.
    """
    parameters = {"team_id": team_id, "user_id": user_id, "conversation_id": conversation_id, "message_id": message_id}
    row = (await connection.execute(_READ, parameters | {"after": after})).mappings().one_or_none()
    if row is None:
        raise ConversationNotFound
    if row["status"] is None:
        raise MessageNotFound
    found = {name: value for name, value in row.items() if name not in {"numbers", "events"}}
    batches = tuple((number, bytes(events)) for number, events in zip(row["numbers"], row["events"], strict=True))
    return Answer(**found, batches=batches)


async def status(
    connection: Connection, *, team_id: UUID, user_id: UUID | None, conversation_id: UUID, message_id: UUID
) -> str:
    """Return the status of an answer of the caller's.

    Raises:
        ConversationNotFound, MessageNotFound: as `read`.
    """
    parameters = {"team_id": team_id, "user_id": user_id, "conversation_id": conversation_id, "message_id": message_id}
    found = (await connection.execute(_STATUS, parameters)).one_or_none()
    if found is None:
        raise ConversationNotFound
    if found.status is None:
        raise MessageNotFound
    return found.status


async def request_stop(
    connection: Connection, *, team_id: UUID, user_id: UUID | None, conversation_id: UUID, message_id: UUID
) -> None:
    """Ask whoever writes an answer to stop. One that is not being written stays as it is."""
    parameters = {"team_id": team_id, "user_id": user_id, "conversation_id": conversation_id, "message_id": message_id}
    await connection.execute(_STOP, parameters)


# Through coalesce() the condition leads to no index: an answer is looked up by its id, not among all that are written.
_STREAMING: Final = "coalesce(messages.status = 'streaming', false)"

# A batch is kept only while its answer is written: whoever ends the answer deletes the batches in the same statement.
_BEAT: Final = text(f"""
    WITH kept AS (
        INSERT INTO stream_events (message_id, team_id, number, events)
        SELECT batch.message_id, batch.team_id, batch.number, batch.events
        FROM unnest(
            CAST(:messages AS uuid[]), CAST(:teams AS uuid[]), CAST(:numbers AS integer[]), CAST(:events AS bytea[])
        ) AS batch (message_id, team_id, number, events)
        JOIN messages ON messages.id = batch.message_id AND {_STREAMING}
        ON CONFLICT (message_id, number) DO NOTHING
    )
    SELECT under_way.id FROM unnest(CAST(:under_way AS uuid[])) AS under_way (id)
    LEFT JOIN messages ON messages.id = under_way.id
    WHERE messages.id IS NULL OR messages.stop_requested OR messages.status <> 'streaming'
""")  # noqa: S608 - constants of ours; values are parameters

_OWN: Final = """
    conversations.id = :conversation_id AND conversations.team_id = :team_id
    AND conversations.user_id IS NOT DISTINCT FROM CAST(:user_id AS uuid)
"""

_ANSWER: Final = f"""
    FROM conversations LEFT JOIN messages ON messages.conversation_id = conversations.id
        AND messages.id = :message_id AND messages.role = 'assistant'
    {{beside}}
    WHERE {_OWN}
"""
_BATCHES: Final = """
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(number ORDER BY number), '{}') AS numbers,
            coalesce(array_agg(events ORDER BY number), '{}') AS events
        FROM stream_events WHERE stream_events.message_id = messages.id AND stream_events.number > :after
    ) AS batches
"""
_STATUS: Final = text(f"SELECT messages.status {_ANSWER.format(beside='')}")

_READ: Final = text(f"""
    SELECT conversations.id AS conversation_id, messages.status,
        messages.status = 'streaming' AND (
            conversations.answer_id IS DISTINCT FROM messages.id OR coalesce(conversations.busy_until < now(), true)
        ) AS is_late,
        CAST(least(extract(epoch FROM now() - messages.created_at) * 1000, 2147483647) AS integer) AS age_ms,
        conversations.agent_id,
        coalesce(messages.parts #>> '{{0,text}}', '') AS text,
        coalesce(messages.parts #>> '{{1,text}}', '') AS reasoning,
        coalesce(messages.sources, '[]') AS sources, messages.retrieval, messages.model,
        messages.input_tokens, messages.output_tokens, messages.error_code, messages.finished_at,
        batches.numbers, batches.events
    {_ANSWER.format(beside=_BATCHES)}
""")  # noqa: S608 - constants of ours; values are parameters

_STOP: Final = text(f"""
    UPDATE messages SET stop_requested = true FROM conversations
    WHERE messages.id = :message_id AND messages.conversation_id = conversations.id AND {_STREAMING}
        AND NOT messages.stop_requested AND {_OWN}
""")  # noqa: S608 - likewise
