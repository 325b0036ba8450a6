"""Accounts as their owners and administrators see, change and delete them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict
from uuid import UUID

import msgspec
from sqlalchemy import Select, literal, select, text, true
from sqlalchemy.exc import IntegrityError

from lib.auth.identity import Role
from lib.db.events import Client, EventDetail, event_insert, new_event
from lib.db.session import Connection
from lib.db.tables import second_factors, users
from lib.errors import EmailTaken, LastAdmin, NotFound
from lib.ids import new_id

NOBODY: Final = "There is no such user."


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An account in a list: all but what may be long."""

    id: UUID
    team_id: UUID
    email: str
    full_name: str | None
    role: Role
    is_active: bool
    last_login_at: datetime | None
    created_at: datetime
    two_factor_enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Listed):
    """What an account shows of itself to its owner and to administrators. `avatar` is a data URI."""

    avatar: str | None
    preferences: dict[str, Any]


class Changes(TypedDict, total=False):
    """What is to be another value; what is not named stays. `email` is normalised, `avatar` a data URI."""

    full_name: str | None
    avatar: str | None
    preferences: dict[str, Any]
    email: str
    role: Role
    is_active: bool


async def find(connection: Connection, *, team_id: UUID, user_id: UUID) -> Profile:
    """Return what an account of the team shows.

    Raises:
        NotFound: there is none.
    """
    statement = select(*_columns(Profile)).where(users.c.id == user_id, users.c.team_id == team_id)
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFound(NOBODY)
    return Profile(**row)


async def page(
    connection: Connection, *, team_id: UUID, limit: int, offset: int = 0, after: UUID | None = None
) -> tuple[Listed, ...]:
    """Return accounts of a team, the newest first.

    Args:
        connection: of a tenant.
        team_id: whose accounts they are.
        limit: how many at most.
        offset: how many to pass over.
        after: the id of the last account of the page before.
    """
    statement = select(*(users.c[name] for name in _LISTED)).where(users.c.team_id == team_id)
    if after is not None:
        statement = statement.where(users.c.id < after)
    newest = statement.order_by(users.c.id.desc()).limit(limit).offset(offset)
    return tuple(Listed(**row) for row in (await connection.execute(_with_second_factors(newest))).mappings())


async def is_taken(connection: Connection, *, team_id: UUID, email: str) -> bool:
    """Say whether the team has an account of this address."""
    statement = select(users.c.id).where(users.c.team_id == team_id, users.c.email == email)
    return (await connection.execute(statement)).one_or_none() is not None


async def change(
    connection: Connection, user_id: UUID, changes: Changes, *, team_id: UUID, actor_id: UUID, client: Client
) -> Profile:
    """Change an account, note what was changed and by whom, and return it as it is now.

    Switching it off ends its sessions, revokes its keys and voids the links to a new password; another address voids
    those links.

    Raises:
        NotFound: the team has no such account.
        LastAdmin: it is the team's last active administrator, and would not be one.
        EmailTaken: the team has an account of that address.
    """
    event = new_event("user_updated", team_id=team_id, user_id=user_id, actor_id=actor_id, client=client)
    described: EventDetail = {"fields": sorted(set(changes) - {"role", "is_active"})}
    given: dict[str, Any] = {
        **changes,
        "id": user_id,
        "team_id": team_id,
        "demotes": changes.get("role") == "user" or changes.get("is_active") is False,
        "readdresses": "email" in changes,
        "event_ids": [event.id, new_id(), new_id()],
        "described": msgspec.json.encode(described).decode() if described["fields"] else None,
    }
    if "preferences" in changes:
        given["preferences"] = msgspec.json.encode(changes["preferences"]).decode()
    try:
        row = (await connection.execute(_change(changes), given | event.parameters)).mappings().one_or_none()
    except IntegrityError as error:
        if "uq_users_team_id_email" not in str(error.orig):
            raise
        raise EmailTaken from None
    if row is None:
        raise NotFound(NOBODY)
    if row["id"] is None:
        raise LastAdmin
    return Profile(**row)


async def shut_out(connection: Connection, user_id: UUID, *, team_id: UUID) -> None:
    """End the sessions and revoke the keys that an account began while `change`, which switched it off, waited for it.

    That it was switched off is noted already. One that is on again by now keeps what it has.
    """
    await connection.execute(_SHUT_OUT, {"id": user_id, "team_id": team_id})


async def delete(connection: Connection, user_id: UUID, *, team_id: UUID, actor_id: UUID, client: Client) -> None:
    """Delete an account and all that is its own, and note who did it.

    Raises:
        NotFound: the team has no such account.
        LastAdmin: it is the team's last active administrator.
    """
    event = new_event("user_deleted", team_id=team_id, user_id=user_id, actor_id=actor_id, client=client)
    given = {"id": user_id, "team_id": team_id, "demotes": True}
    row = (await connection.execute(_DELETE, given | event.parameters)).one_or_none()
    if row is None:
        raise NotFound(NOBODY)
    if row.id is None:
        raise LastAdmin


_SECOND_FACTOR: Final = (
    select(literal(1))
    .where(second_factors.c.user_id == users.c.id, second_factors.c.confirmed_at.is_not(None))
    .exists()
)


def _columns(kind: type[Listed]) -> list[Any]:
    """Return what the fields of an account are read from."""
    return [
        _SECOND_FACTOR.label(name) if name == "two_factor_enabled" else users.c[name]
        for name in kind.__dataclass_fields__
    ]


_LISTED: Final = tuple(name for name in Listed.__dataclass_fields__ if name != "two_factor_enabled")


def _with_second_factors(newest: Select[Any]) -> Select[Any]:
    """Return a page of accounts with whether each has a second factor, looked up for those alone.

    Asked beside the accounts, it is asked before it is known how few they are, and reads the second factors of all.
    """
    taken = newest.subquery("taken")
    factor = (
        select(literal(True).label("counts"))
        .where(second_factors.c.user_id == taken.c.id, second_factors.c.confirmed_at.is_not(None))
        .limit(1)
        .lateral("factor")
    )
    enabled = factor.c.counts.is_not(None).label("two_factor_enabled")
    return select(taken, enabled).select_from(taken.outerjoin(factor, true())).order_by(taken.c.id.desc())


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

# A team keeps an administrator also when two of them are demoted at once. Whoever takes the role away holds the account
# and all active administrators first, in one pass and one order, so that nobody waits in a circle; whoever waited sees
# the rows as they are then. Rows are held against changes alone: a conversation that refers to its owner is in nobody's
# way.
_HELD: Final = """
    held AS MATERIALIZED (
        SELECT id, role, is_active FROM users
        WHERE team_id = :team_id AND (id = :id OR (:demotes AND role = 'admin' AND is_active))
        ORDER BY id FOR NO KEY UPDATE
    ), before AS (
        SELECT *, role = 'admin' AND is_active AS serves FROM held WHERE id = :id
    )
"""
_LEAVES_AN_ADMIN: Final = """
    NOT (:demotes AND before.serves AND NOT EXISTS (SELECT FROM held WHERE held.id <> before.id))
"""

_DELETE: Final = text(f"""
    WITH {_HELD}, deleted AS (
        DELETE FROM users USING before WHERE users.id = before.id AND {_LEAVES_AN_ADMIN} RETURNING users.id
    ), event AS ({event_insert("deleted")})
    SELECT deleted.id FROM before LEFT JOIN deleted ON true
""")  # noqa: S608

_SHUT_OUT: Final = text("""
    WITH gone AS (SELECT id FROM users WHERE id = :id AND team_id = :team_id AND NOT is_active), ended AS (
        UPDATE sessions SET revoked_at = now() FROM gone WHERE user_id = gone.id AND revoked_at IS NULL
    )
    UPDATE api_keys SET revoked_at = now() FROM gone WHERE user_id = gone.id AND revoked_at IS NULL
""")

_VALUES: Final = {
    "full_name": ":full_name",
    "avatar": ":avatar",
    "preferences": "CAST(:preferences AS jsonb)",
    "email": ":email",
    "role": ":role",
    "is_active": ":is_active",
}
_OF_CHANGED: Final = ", ".join(
    "EXISTS (SELECT FROM second_factors WHERE user_id = changed.id AND confirmed_at IS NOT NULL) AS two_factor_enabled"
    if name == "two_factor_enabled"
    else f"changed.{name}"
    for name in Profile.__dataclass_fields__
)
_SAID: Final = """
    SELECT 1 AS place, 'user_updated' AS kind, CAST(:described AS jsonb) AS detail FROM changed
        WHERE CAST(:described AS text) IS NOT NULL
    UNION ALL
    SELECT 2, 'role_changed', jsonb_build_object('from', role_before, 'to', role) FROM changed
        WHERE role <> role_before
    UNION ALL
    SELECT 3, CASE WHEN is_active THEN 'user_activated' ELSE 'user_deactivated' END, '{}' FROM changed
        WHERE is_active <> active_before
"""
_EVENTS: Final = event_insert(
    "said", id="(CAST(:event_ids AS uuid[]))[source.place]", kind="source.kind", detail="source.detail"
)


def _change(changes: Changes) -> Any:
    """Return the statement that changes these fields."""
    assigned = ", ".join(f"{name} = {_VALUES[name]}" for name in changes) or "id = users.id"
    return text(f"""
        WITH {_HELD}, changed AS (
            UPDATE users SET {assigned} FROM before WHERE users.id = before.id AND {_LEAVES_AN_ADMIN}
            RETURNING users.*, before.role AS role_before, before.is_active AS active_before
        ), gone AS (SELECT id FROM changed WHERE active_before AND NOT is_active), ended AS (
            UPDATE sessions SET revoked_at = now() FROM gone WHERE user_id = gone.id AND revoked_at IS NULL
        ), revoked AS (
            UPDATE api_keys SET revoked_at = now() FROM gone WHERE user_id = gone.id AND revoked_at IS NULL
        ), void AS (
            UPDATE password_resets SET used_at = now() FROM changed
            WHERE user_id = changed.id AND used_at IS NULL AND (:readdresses OR changed.id IN (SELECT id FROM gone))
        ), said AS ({_SAID}), event AS ({_EVENTS})
        SELECT {_OF_CHANGED} FROM before LEFT JOIN changed ON true
    """)  # noqa: S608
