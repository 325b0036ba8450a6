"""API keys at rest: a hash of each, and what it may do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select, text

from lib.auth.identity import Scope
from lib.db.events import Client, event_insert, new_event
from lib.db.session import Connection
from lib.db.tables import api_keys
from lib.errors import NotFound, TooManyKeys

MOST_KEYS: Final = 50
"""Keys of an account that are not revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to keep. `expires_at` is None for one that does not expire."""

    id: UUID
    team_id: UUID
    user_id: UUID
    name: str
    scopes: tuple[Scope, ...]
    secret_hash: bytes
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeptKey:
    """What a key was made for. Nothing of it ever changes."""

    team_id: UUID
    user_id: UUID
    scopes: list[Scope]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as its owner sees it."""

    id: UUID
    name: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


async def create(connection: Connection, new: NewKey, *, client: Client) -> datetime:
    """Keep a key, note who made it, and return when.

    Raises:
        TooManyKeys: the account has `MOST_KEYS` already.
    """
    event = new_event(
        "key_made",
        team_id=new.team_id,
        user_id=new.user_id,
        detail={"key_id": str(new.id), "scopes": list(new.scopes)},
        client=client,
    )
    given = {name: getattr(new, name) for name in NewKey.__dataclass_fields__} | {"scopes": list(new.scopes)}
    row = (await connection.execute(_CREATE, given | {"most": MOST_KEYS} | event.parameters)).one_or_none()
    if row is None:
        raise TooManyKeys
    return row.created_at


async def use(connection: Connection, key_id: UUID, *, secret_hash: bytes) -> KeptKey | None:
    """Return a key that works now, and note that it is used.

    It works when it is neither revoked nor expired, and its account and team are active. Hashes are compared by the
    database, which may tell by its time how much of two of them is alike; nobody can choose what theirs begins with.
    """
    row = (await connection.execute(_USE, {"id": key_id, "secret_hash": secret_hash})).mappings().one_or_none()
    return None if row is None else KeptKey(**row)


async def listed(connection: Connection, *, team_id: UUID, user_id: UUID) -> tuple[ListedKey, ...]:
    """Return an account's keys that are not revoked, the newest first."""
    statement = (
        select(*(api_keys.c[name] for name in ListedKey.__dataclass_fields__))
        .where(api_keys.c.team_id == team_id, api_keys.c.user_id == user_id, api_keys.c.revoked_at.is_(None))
        .order_by(api_keys.c.id.desc())
    )
    return tuple(ListedKey(**row) for row in (await connection.execute(statement)).mappings())


async def revoke(connection: Connection, key_id: UUID, *, team_id: UUID, user_id: UUID, client: Client) -> None:
    """Revoke an account's key, and note it.

    Raises:
        NotFound: the account has no such key, or it is revoked already.
    """
    event = new_event("key_revoked", team_id=team_id, user_id=user_id, detail={"key_id": str(key_id)}, client=client)
    given = {"id": key_id, "team_id": team_id, "user_id": user_id}
    if (await connection.execute(_REVOKE, given | event.parameters)).scalar_one() == 0:
        raise NotFound("There is no such API key.")


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_CREATE = text(f"""
    WITH made AS (
        INSERT INTO api_keys (id, team_id, user_id, name, scopes, secret_hash, expires_at)
        SELECT :id, :team_id, :user_id, :name, :scopes, :secret_hash, :expires_at
        WHERE (
            SELECT count(*) FROM api_keys WHERE team_id = :team_id AND user_id = :user_id AND revoked_at IS NULL
        ) < :most
        RETURNING created_at
    ), event AS ({event_insert("made")})
    SELECT created_at FROM made
""")  # noqa: S608

_REVOKE = text(f"""
    WITH revoked AS (
        UPDATE api_keys SET revoked_at = now()
        WHERE id = :id AND team_id = :team_id AND user_id = :user_id AND revoked_at IS NULL
        RETURNING id
    ), event AS ({event_insert("revoked")})
    SELECT count(*) FROM revoked
""")  # noqa: S608

_USE = text("""
    UPDATE api_keys SET last_used_at = now() FROM users, teams
    WHERE api_keys.id = :id AND api_keys.secret_hash = :secret_hash AND api_keys.revoked_at IS NULL
        AND (api_keys.expires_at IS NULL OR api_keys.expires_at > now())
        AND users.id = api_keys.user_id AND users.is_active AND teams.id = api_keys.team_id AND teams.is_active
    RETURNING api_keys.user_id, api_keys.team_id, api_keys.scopes, api_keys.expires_at
""")
