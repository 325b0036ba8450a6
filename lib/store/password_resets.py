"""Resets of forgotten passwords: each a one-time token, of which the hash alone is kept."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text

from lib.db.events import SecurityEvent, event_insert
from lib.db.session import Connection
from lib.ids import as_uuid

LIFETIME: Final = timedelta(minutes=30)
"""How long a token is good for."""
BATCH: Final = 500
"""Rows that one statement of `purge` deletes."""


@dataclass(frozen=True, slots=True)
class Resettable:
    """An account whose password may be set anew, and what its team is called."""

    user_id: UUID
    team_id: UUID
    team: str


@dataclass(frozen=True, slots=True)
class Token:
    """A token: the reset that it is of, and the hash of its secret."""

    reset_id: UUID
    secret_hash: bytes


async def accounts_of(connection: Connection, email: str, *, team: str | None) -> tuple[Resettable, ...]:
    """Return the active accounts of an address, the oldest first; of one team where `team`, a slug or an id, is one."""
    parameters = {"email": email, "slug": team, "team_id": as_uuid(team)}
    rows = await connection.execute(_ACCOUNTS, parameters)
    return tuple(Resettable(row.id, row.team_id, row.name) for row in rows)


async def create(connection: Connection, token: Token, event: SecurityEvent) -> None:
    """Keep a token for the event's user, and note that it was asked for."""
    parameters = {"id": token.reset_id, "token_hash": token.secret_hash, "lifetime": LIFETIME}
    await connection.execute(_CREATE, parameters | event.parameters)


async def is_good(connection: Connection, token: Token) -> bool:
    """Say whether a token could be taken at this moment: so that one that could not costs no hash of a password."""
    parameters = {"id": token.reset_id, "token_hash": token.secret_hash}
    return (await connection.execute(_IS_GOOD, parameters)).scalar_one()


async def take(
    connection: Connection, token: Token, event: SecurityEvent, *, password_hash: str
) -> tuple[UUID, UUID] | None:
    """Give the token's user a new password, end their sessions, revoke their keys and use up all their tokens.

    All or nothing. Return the user and the team, of whom the event tells then; or None: the token is nobody's, expired
    or used, or the account is off.
    """
    parameters = {"id": token.reset_id, "token_hash": token.secret_hash, "password_hash": password_hash}
    row = (await connection.execute(_TAKE, parameters | event.parameters)).one_or_none()
    return None if row is None else (row.id, row.team_id)


async def purge(connection: Connection) -> int:
    """Delete up to `BATCH` resets that have been over for a day, and return how many."""
    return (await connection.execute(_PURGE, {"batch": BATCH})).rowcount


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_ACCOUNTS = text("""
    SELECT users.id, users.team_id, teams.name FROM users JOIN teams ON teams.id = users.team_id
    WHERE users.email = :email AND users.is_active AND teams.is_active
        AND (CAST(:slug AS text) IS NULL OR teams.slug = :slug OR teams.id = CAST(:team_id AS uuid))
    ORDER BY users.id
""")

_CREATE = text(f"""
    WITH created AS (
        INSERT INTO password_resets (id, team_id, user_id, token_hash, expires_at)
        VALUES (:id, :event_team_id, :event_user_id, :token_hash, now() + :lifetime)
    )
    {event_insert()}
""")  # noqa: S608

_GOOD: Final = """
    SELECT users.id, users.team_id FROM password_resets
    JOIN users ON users.id = password_resets.user_id JOIN teams ON teams.id = users.team_id
    WHERE password_resets.id = :id AND password_resets.token_hash = :token_hash AND password_resets.used_at IS NULL
        AND password_resets.expires_at > now() AND users.is_active AND teams.is_active
"""

_EVENT: Final = event_insert(
    "changed",
    team_id="source.team_id",
    user_id="source.id",
    detail="jsonb_build_object('count', (SELECT count(*) FROM ended), 'keys', (SELECT count(*) FROM revoked))",
)

_IS_GOOD = text(f"SELECT EXISTS ({_GOOD})")

# The account is locked first: of two tokens of one account, each of which would use up the other, one waits here. What
# waited sees in its UPDATE that its token is used by now.
_TAKE = text(f"""
    WITH account AS ({_GOOD} FOR UPDATE OF users), used AS (
        UPDATE password_resets SET used_at = now() FROM account
        WHERE password_resets.user_id = account.id AND password_resets.used_at IS NULL
        RETURNING password_resets.id, password_resets.user_id
    ), changed AS (
        UPDATE users SET password_hash = :password_hash FROM used WHERE users.id = used.user_id AND used.id = :id
        RETURNING users.id, users.team_id
    ), ended AS (
        UPDATE sessions SET revoked_at = now() FROM changed
        WHERE sessions.user_id = changed.id AND sessions.revoked_at IS NULL
        RETURNING sessions.id
    ), revoked AS (
        UPDATE api_keys SET revoked_at = now() FROM changed
        WHERE api_keys.user_id = changed.id AND api_keys.revoked_at IS NULL
        RETURNING api_keys.id
    ), event AS ({_EVENT})
    SELECT id, team_id FROM changed
""")  # noqa: S608

_PURGE = text("""
    DELETE FROM password_resets WHERE id = ANY (ARRAY(
        SELECT id FROM password_resets WHERE expires_at < now() - interval '1 day'
        LIMIT :batch FOR UPDATE SKIP LOCKED
    ))
""")
