"""The keys with which turns were begun, so that a retry is one."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text

from lib.db.session import Connection
from lib.turns import Repeat, TurnRecord

KEPT: Final = timedelta(hours=24)
"""How long a key is remembered."""
BATCH: Final = 1000
"""Rows that one statement deletes."""


async def find_repeat(connection: Connection, turn: TurnRecord) -> tuple[Repeat, bool] | None:
    """Return the turn that was begun with the same key, and whether it asked the same.

    None where none was begun after all: a turn that lost a race for its conversation leaves its key, and the key is
    then free again.
    """
    assert turn.key is not None  # noqa: S101 - only a key can be taken
    found = {"key_hash": turn.key.key_hash, "team_id": turn.team_id}
    row = (await connection.execute(_REPEAT, found)).one_or_none()
    if row is None:
        return None
    if not row.begun:
        await connection.execute(_FREE_KEY, found | {"answer_id": row.answer_id})
        return None
    return Repeat(row.conversation_id, row.answer_id), bytes(row.body_hash) == turn.key.body_hash


async def purge(connection: Connection) -> int:
    """Delete up to `BATCH` keys that are older than `KEPT`, and return how many there were."""
    return (await connection.execute(_PURGE, {"seconds": KEPT.total_seconds(), "batch": BATCH})).rowcount


_REPEAT = text("""
    SELECT conversation_id, answer_id, body_hash,
        EXISTS (SELECT FROM messages WHERE messages.id = turn_keys.answer_id) AS begun
    FROM turn_keys WHERE key_hash = :key_hash AND team_id = :team_id
""")
_FREE_KEY = text("""
    DELETE FROM turn_keys WHERE key_hash = :key_hash AND team_id = :team_id AND answer_id = :answer_id
""")

_PURGE = text("""
    DELETE FROM turn_keys WHERE key_hash IN (
        SELECT key_hash FROM turn_keys WHERE created_at < now() - make_interval(secs => :seconds)
        ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
""")
