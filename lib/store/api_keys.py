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
from lib.errors import NotFound, TooManyKeys, Unauthenticated

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
        Unauthenticated: there is no such account, or it is off.
    """
    event = new_event(
        "key_made",
        team_id=new.team_id,
        user_id=new.user_id,
        detail={"key_id": str(new.id), "scopes": list(new.scopes)},
        client=client,
    )
    given = {name: getattr(new, name) for name in NewKey.__dataclass_fields__} | {"scopes": list(new.scopes)}
    given |= {"most": MOST_KEYS} | event.parameters
    # Each time that it is to be done again, somebody else has changed the account: there is an end to it.
    while (row := (await connection.execute(_CREATE, given)).one_or_none()) and not row.is_unchanged:
        pass
    if row is None:
        raise Unauthenticated
    if row.created_at is None:
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


async def revoke_all(connection: Connection, *, user_id: UUID, team_id: UUID, client: Client) -> int:
    """Revoke every key of an account, and note how many if there were any; return how many."""
    event = new_event("key_revoked", team_id=team_id, user_id=user_id, client=client)
    given = {"team_id": team_id, "user_id": user_id}
    return (await connection.execute(_REVOKE_ALL, given | event.parameters)).scalar_one()


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

# Keys of an account are made one after the other. A statement that waited for the account's row does not see what was
# done meanwhile: another key, or a reset that revoked them all. So it writes the row, which is another one then
# (`xmin`), and where it finds it another one itself, it makes nothing and is done again.
_CREATE = text(f"""
    WITH seen AS MATERIALIZED (
        SELECT id, xmin AS version FROM users WHERE id = :user_id AND team_id = :team_id AND is_active
    ), account AS (
        UPDATE users SET id = users.id FROM seen WHERE users.id = seen.id AND users.xmin = seen.version
        RETURNING users.id
    ), made AS (
        INSERT INTO api_keys (id, team_id, user_id, name, scopes, secret_hash, expires_at)
        SELECT :id, :team_id, account.id, :name, :scopes, :secret_hash, :expires_at FROM account
        WHERE (
            SELECT count(*) FROM api_keys WHERE team_id = :team_id AND user_id = :user_id AND revoked_at IS NULL
        ) < :most
        RETURNING created_at
    ), event AS ({event_insert("made")})
    SELECT account.id IS NOT NULL AS is_unchanged, made.created_at
    FROM seen LEFT JOIN account ON true LEFT JOIN made ON true
""")  # noqa: S608

_REVOKE = text(f"""
    WITH revoked AS (
        UPDATE api_keys SET revoked_at = now()
        WHERE id = :id AND team_id = :team_id AND user_id = :user_id AND revoked_at IS NULL
        RETURNING id
    ), event AS ({event_insert("revoked")})
    SELECT count(*) FROM revoked
""")  # noqa: S608

_REVOKE_ALL = text(f"""
    WITH revoked AS (
        UPDATE api_keys SET revoked_at = now()
        WHERE team_id = :team_id AND user_id = :user_id AND revoked_at IS NULL
        RETURNING id
    ), counted AS (SELECT count(*) AS revoked FROM revoked HAVING count(*) > 0),
    event AS ({event_insert("counted", detail="jsonb_build_object('count', source.revoked)")})
    SELECT count(*) FROM revoked
""")  # noqa: S608

_USE = text("""
    UPDATE api_keys SET last_used_at = now() FROM users, teams
    WHERE api_keys.id = :id AND api_keys.secret_hash = :secret_hash AND api_keys.revoked_at IS NULL
        AND (api_keys.expires_at IS NULL OR api_keys.expires_at > now())
        AND users.id = api_keys.user_id AND users.is_active AND teams.id = api_keys.team_id AND teams.is_active
    RETURNING api_keys.user_id, api_keys.team_id, api_keys.scopes, api_keys.expires_at
""")
