"""Accounts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, literal, or_, select, text
from sqlalchemy.exc import IntegrityError

from lib.auth.identity import Role
from lib.db.events import Client, event_insert, new_event
from lib.db.session import Connection
from lib.db.tables import second_factors, teams, users
from lib.errors import EmailTaken, NotFound, SetupDone, TeamNotFound
from lib.ids import as_uuid

NOBODY: Final = "There is no such user."


@dataclass(frozen=True, slots=True)
class User:
    """An account, with its team and role. `password_hash` never leaves the server; None where there is no password.

    `second_factor` says whether a log-in takes a second step.
    """

    id: UUID
    team_id: UUID
    email: str
    password_hash: str | None
    role: Role
    is_active: bool
    second_factor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """An account to make. `email` is normalised; without a `password_hash` no password fits."""

    id: UUID
    team_id: UUID
    email: str
    password_hash: str | None
    role: Role = "user"
    full_name: str | None = None


_SECOND_FACTOR = (
    select(literal(1))
    .where(second_factors.c.user_id == users.c.id, second_factors.c.confirmed_at.is_not(None))
    .exists()
)
_COLUMNS = (
    users.c.id,
    users.c.team_id,
    users.c.email,
    users.c.password_hash,
    users.c.role,
    # An account of a team that was switched off is off as well.
    (users.c.is_active & teams.c.is_active).label("is_active"),
    _SECOND_FACTOR.label("second_factor"),
)


async def create(
    connection: Connection, new: NewUser, *, client: Client, actor_id: UUID | None = None, setup: bool = False
) -> datetime:
    """Add an account to an active team, note who made it, and return when it was made.

    Args:
        connection: with the team in reach.
        new: the account.
        client: what asked for it.
        actor_id: the administrator who made it; None where its owner did.
        setup: it is the first administrator's, of whom a team has one at most, also when two are asked for at once.

    Raises:
        EmailTaken: the team has an account of this address.
        TeamNotFound: there is no such team, or it is not active.
        SetupDone: the team has an administrator, or had its first one once.
    """
    event = new_event(
        "setup" if setup else "user_created",
        team_id=new.team_id,
        user_id=new.id,
        actor_id=actor_id,
        detail={"role": new.role},
        client=client,
    )
    given = {name: getattr(new, name) for name in NewUser.__dataclass_fields__}
    try:
        row = (await connection.execute(_SET_UP if setup else _CREATE, given | event.parameters)).one()
    except IntegrityError as error:
        if "uq_users_team_id_email" not in str(error.orig):
            raise
        raise EmailTaken from None
    if not row.teams:
        raise SetupDone if setup else TeamNotFound
    if row.created_at is None:
        raise EmailTaken
    return row.created_at


async def find_active(connection: Connection, user_id: UUID) -> User:
    """Return the account.

    Raises:
        NotFound: there is none, or it is off.
    """
    row = (await connection.execute(_accounts().where(users.c.id == user_id))).mappings().one_or_none()
    if row is None or not row["is_active"]:
        raise NotFound(NOBODY)
    return _user(row)


async def find_by_email(connection: Connection, email: str, *, team: str | None, at_most: int) -> tuple[User, ...]:
    """Return the oldest accounts of an address, so many of them; of one team when `team`, a slug or an id, is given."""
    statement = _accounts().where(users.c.email == email).order_by(users.c.id).limit(at_most)
    if team is not None:
        statement = statement.where(_is_team(team))
    return tuple(_user(row) for row in (await connection.execute(statement)).mappings())


async def make_admin(connection: Connection, *, team_id: UUID, email: str, client: Client) -> bool:
    """Give an account the admin role in its team; return whether there is such an account."""
    event = new_event("role_changed", team_id=team_id, detail={"from": "user", "to": "admin"}, client=client)
    parameters = {"team_id": team_id, "email": email} | event.parameters
    return (await connection.execute(_MAKE_ADMIN, parameters)).scalar_one() == 1


def _accounts() -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS).join(teams, teams.c.id == users.c.team_id)


def _is_team(slug_or_id: str) -> ColumnElement[bool]:
    return or_(teams.c.slug == slug_or_id, teams.c.id == as_uuid(slug_or_id))


def _user(row: RowMapping) -> User:
    return User(**row)


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_NEW = """
    INSERT INTO users (id, team_id, email, password_hash, role, full_name)
    SELECT :id, team.id, :email, :password_hash, :role, :full_name FROM team
"""

_CREATE = text(f"""
    WITH team AS (SELECT id FROM teams WHERE id = :team_id AND is_active),
    made AS ({_NEW} ON CONFLICT (team_id, email) DO NOTHING RETURNING id, created_at),
    event AS ({event_insert("made", user_id="source.id")})
    SELECT (SELECT count(*) FROM team) AS teams, (SELECT created_at FROM made) AS created_at
""")  # noqa: S608

# Two at once wait for each other at the team's row, and the second one sees there what the first has written. A taken
# address fails the whole, so that the team is not noted as set up.
_SET_UP = text(f"""
    WITH team AS (
        UPDATE teams SET settings = settings || '{{"administered": true}}'
        WHERE id = :team_id AND is_active AND NOT settings ? 'administered'
            AND NOT EXISTS (SELECT FROM users WHERE users.team_id = teams.id AND users.role = 'admin')
        RETURNING id
    ), made AS ({_NEW} RETURNING id, created_at), event AS ({event_insert("made", user_id="source.id")})
    SELECT (SELECT count(*) FROM team) AS teams, (SELECT created_at FROM made) AS created_at
""")  # noqa: S608

_MAKE_ADMIN = text(f"""
    WITH known AS (SELECT id, role FROM users WHERE team_id = :team_id AND email = :email FOR UPDATE),
    changed AS (
        UPDATE users SET role = 'admin' FROM known WHERE users.id = known.id AND known.role <> 'admin'
        RETURNING users.id
    ), event AS ({event_insert("changed", user_id="source.id")})
    SELECT count(*) FROM known
""")  # noqa: S608
