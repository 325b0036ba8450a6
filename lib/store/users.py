"""Accounts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from lib.db.session import Connection
from lib.db.tables import teams, users
from lib.errors import EmailTaken, NotFound
from lib.ids import as_uuid

NOBODY: Final = "There is no such user."


@dataclass(frozen=True, slots=True)
class User:
    """An account, with its team and role. `password_hash` never leaves the server."""

    id: UUID
    team_id: UUID
    email: str
    password_hash: str
    role: Literal["user", "admin"]
    is_active: bool
    created_at: datetime


_COLUMNS = (
    users.c.id,
    users.c.team_id,
    users.c.email,
    users.c.password_hash,
    users.c.role,
    # An account of a team that was switched off is off as well.
    (users.c.is_active & teams.c.is_active).label("is_active"),
    users.c.created_at,
)


async def create(connection: Connection, *, user_id: UUID, team_id: UUID, email: str, password_hash: str) -> datetime:
    """Add an account and return when it was made.

    Raises:
        EmailTaken: the team has an account of this address.
    """
    statement = insert(users).values(id=user_id, team_id=team_id, email=email, password_hash=password_hash)
    try:
        return (await connection.execute(statement.returning(users.c.created_at))).scalar_one()
    except IntegrityError as error:
        if "uq_users_team_id_email" not in str(error.orig):
            raise
        raise EmailTaken from None


async def find_active(connection: Connection, user_id: UUID) -> User:
    """Return the account.

    Raises:
        NotFound: there is none, or it is off.
    """
    row = (await connection.execute(_accounts().where(users.c.id == user_id))).mappings().one_or_none()
    if row is None or not row["is_active"]:
        raise NotFound(NOBODY)
    return _user(row)


async def find_by_email(connection: Connection, email: str, *, team: str | None) -> tuple[User, ...]:
    """Return the accounts of an address, the oldest first; of one team when `team`, a slug or an id, is given."""
    statement = _accounts().where(users.c.email == email).order_by(users.c.id)
    if team is not None:
        statement = statement.where(_is_team(team))
    return tuple(_user(row) for row in (await connection.execute(statement)).mappings())


async def make_admin(connection: Connection, *, team_id: UUID, email: str) -> bool:
    """Give an account the admin role in its team; return whether there is such an account."""
    statement = update(users).where(users.c.team_id == team_id, users.c.email == email).values(role="admin")
    return (await connection.execute(statement)).rowcount == 1


def _accounts():
    return select(*_COLUMNS).join(teams, teams.c.id == users.c.team_id)


def _is_team(slug_or_id: str):
    team_id = as_uuid(slug_or_id)
    return teams.c.slug == slug_or_id if team_id is None else teams.c.id == team_id


def _user(row: RowMapping) -> User:
    return User(**row)
