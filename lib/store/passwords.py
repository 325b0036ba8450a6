"""Passwords of accounts that somebody is signed in to."""

from uuid import UUID

from sqlalchemy import select, text

from lib.db.events import SecurityEvent, event_insert
from lib.db.session import Connection
from lib.db.tables import users


async def find_hash(connection: Connection, user_id: UUID) -> str | None:
    """Return the hash of an account's password; None where it has none."""
    return (await connection.execute(select(users.c.password_hash).where(users.c.id == user_id))).scalar_one()


async def change(
    connection: Connection, event: SecurityEvent, *, before: str | None, after: str, but: UUID | None
) -> bool:
    """Give the event's user another password, end their sessions but one, and use up their tokens for a reset.

    Args:
        connection: of the user's tenant.
        event: what is written down when it is done.
        before: the hash of the password that was shown; if it is another by now, nothing is done, and False returned.
        after: the hash of the new one.
        but: the session that goes on.
    """
    parameters = {"user_id": event.user_id, "before": before, "after": after, "but": but}
    return (await connection.execute(_CHANGE, parameters | event.parameters)).scalar_one() == 1


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_CHANGE = text(f"""
    WITH changed AS (
        UPDATE users SET password_hash = :after
        WHERE id = :user_id AND password_hash IS NOT DISTINCT FROM CAST(:before AS text)
        RETURNING id
    ), ended AS (
        UPDATE sessions SET revoked_at = now() FROM changed
        WHERE sessions.user_id = changed.id AND sessions.revoked_at IS NULL
            AND sessions.id IS DISTINCT FROM CAST(:but AS uuid)
        RETURNING sessions.id
    ), used AS (
        UPDATE password_resets SET used_at = now() FROM changed
        WHERE password_resets.user_id = changed.id AND password_resets.used_at IS NULL
    ), event AS ({event_insert("changed", detail="jsonb_build_object('count', (SELECT count(*) FROM ended))")})
    SELECT count(*) FROM changed
""")  # noqa: S608
