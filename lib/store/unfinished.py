"""Answers that were begun, and that nobody is writing any more: a killed function leaves them so."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text

from lib.db.session import Connection

LONGEST_TURN: Final = timedelta(seconds=900)
"""No turn lasts longer: `AGENT_TIMEOUT` is 800 seconds at most, and saving its answer a few more."""
BATCH: Final = 500
"""Rows that one statement changes, so that it holds few locks, and none for long."""


async def interrupt_batch(connection: Connection) -> int:
    """Mark up to `BATCH` such answers as `interrupted`, the oldest first, and return how many.

    What another run has taken already, or a turn is just finishing, is passed over.
    """
    parameters = {"seconds": LONGEST_TURN.total_seconds(), "batch": BATCH}
    return (await connection.execute(_INTERRUPT, parameters)).rowcount


_INTERRUPT = text("""
    WITH unfinished AS MATERIALIZED (
        SELECT id FROM messages
        WHERE status = 'streaming' AND created_at < now() - make_interval(secs => :seconds)
        ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED
    ), over AS (
        DELETE FROM stream_events USING unfinished WHERE stream_events.message_id = unfinished.id
    )
    UPDATE messages SET status = 'interrupted' FROM unfinished WHERE messages.id = unfinished.id
""")
