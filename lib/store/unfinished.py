"""Answers that were begun, and that nobody is writing any more: a killed function leaves them so."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from lib.db.session import Connection

LONGEST_TURN: Final = timedelta(seconds=900)
"""No turn lasts longer: `AGENT_TIMEOUT` is 800 seconds at most, and saving its answer a few more."""
BATCH: Final = 500
"""Rows that one statement changes, so that it holds few locks, and none for long."""
BATCH_WRITTEN: Final = 20
"""Answers that are read at once, with all that was kept of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An answer that its function left, after it had kept some of it.

    Attributes:
        lasted_ms: milliseconds from its beginning to the last of its batches.
        batches: their numbers and events, in order.
    """

    id: UUID
    team_id: UUID
    user_id: UUID | None
    conversation_id: UUID
    agent_id: UUID | None
    lasted_ms: int
    batches: tuple[tuple[int, bytes], ...]


async def find_written(connection: Connection) -> list[Unfinished]:
    """Return up to `BATCH_WRITTEN` such answers of which something was kept, the oldest first.

    What another run or a turn has in hand at this moment is passed over.
    """
    rows = (await connection.execute(_FIND_WRITTEN, _parameters(BATCH_WRITTEN))).mappings()
    return [_unfinished(dict(row)) for row in rows]


async def interrupt_batch(connection: Connection) -> int:
    """Mark up to `BATCH` such answers of which nothing was kept as `interrupted`, and return how many.

    The oldest come first. What another run has taken already, or a turn is just finishing, is passed over.
    """
    return (await connection.execute(_INTERRUPT, _parameters(BATCH))).scalar_one()


async def purge_batches(connection: Connection) -> int:
    """Delete up to `BATCH` batches whose answer is over, and that came too late to go with it; return how many."""
    return (await connection.execute(_PURGE_BATCHES, _parameters(BATCH))).rowcount


def _parameters(batch: int) -> dict[str, Any]:
    return {"seconds": LONGEST_TURN.total_seconds(), "batch": batch}


def _unfinished(row: dict[str, Any]) -> Unfinished:
    numbers, events = row.pop("numbers"), row.pop("events")
    batches = tuple((number, bytes(packed)) for number, packed in zip(numbers, events, strict=True))
    return Unfinished(**row, batches=batches)


_STALE: Final = "messages.status = 'streaming' AND messages.created_at < now() - make_interval(secs => :seconds)"
_WRITTEN: Final = "EXISTS (SELECT FROM stream_events WHERE stream_events.message_id = messages.id)"

_FIND_WRITTEN = text(f"""
    WITH unfinished AS MATERIALIZED (
        SELECT id, team_id, conversation_id, created_at FROM messages WHERE {_STALE} AND {_WRITTEN}
        ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    SELECT unfinished.id, unfinished.team_id, conversations.user_id, unfinished.conversation_id,
        conversations.agent_id, kept.lasted_ms, kept.numbers, kept.events
    FROM unfinished JOIN conversations ON conversations.id = unfinished.conversation_id
    CROSS JOIN LATERAL (
        SELECT CAST(extract(epoch FROM max(stream_events.created_at) - unfinished.created_at) * 1000 AS integer)
                AS lasted_ms,
            array_agg(number ORDER BY number) AS numbers, array_agg(events ORDER BY number) AS events
        FROM stream_events WHERE stream_events.message_id = unfinished.id
        HAVING count(*) > 0
    ) AS kept
    ORDER BY unfinished.created_at
""")  # noqa: S608 - constants of ours; values are parameters

# A turn has one row of the log, by the answer's own id, here as in any other end.
_INTERRUPT = text(f"""
    WITH unfinished AS MATERIALIZED (
        SELECT id, team_id, conversation_id FROM messages WHERE {_STALE} AND NOT {_WRITTEN}
        ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED
    ), over AS (
        UPDATE messages SET status = 'interrupted' FROM unfinished WHERE messages.id = unfinished.id
    ), logged AS (
        INSERT INTO interaction_logs (id, team_id, user_id, conversation_id, message_id, agent_id, outcome)
        SELECT unfinished.id, unfinished.team_id, conversations.user_id, conversations.id, unfinished.id,
            conversations.agent_id, 'interrupted'
        FROM unfinished JOIN conversations ON conversations.id = unfinished.conversation_id
        ON CONFLICT (id) DO NOTHING
    )
    SELECT count(*) FROM unfinished
""")  # noqa: S608 - likewise

_PURGE_BATCHES = text("""
    DELETE FROM stream_events WHERE (message_id, number) IN (
        SELECT stream_events.message_id, stream_events.number
        FROM stream_events JOIN messages ON messages.id = stream_events.message_id
        WHERE stream_events.created_at < now() - make_interval(secs => :seconds) AND messages.status <> 'streaming'
        LIMIT :batch FOR UPDATE OF stream_events SKIP LOCKED
    )
""")
