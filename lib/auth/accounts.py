"""Accounts: register and log in."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

# Its signature names dnspython's types, which a type checker does not find on every machine.
from email_validator import EmailNotValidError, validate_email  # pyright: ignore[reportUnknownVariableType]

from lib.auth.identity import Identity
from lib.auth.passwords import hash_password, verify_password
from lib.db.session import Database
from lib.errors import InvalidCredentials, TeamRequired
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.store import users


@dataclass(frozen=True, slots=True)
class Account:
    """What an account shows of itself."""

    id: UUID
    email: str
    created_at: datetime


def normalise_email(email: str) -> str:
    """Return the one spelling of an address under which its account is kept.

    Letters are folded and compatibility forms composed, so that two spellings of one address are one account.

    Raises:
        ValueError: it is no address.
    """
    folded = unicodedata.normalize("NFKC", email.strip()).casefold()
    try:
        return validate_email(folded, check_deliverability=False, test_environment=True).normalized.casefold()
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error


async def register(database: Database, *, email: str, password: str) -> Account:
    """Add an account to the default team. `email` is normalised already.

    Raises:
        EmailTaken: it has one.
        DatabaseUnavailable: nothing is stored.
    """
    user_id, password_hash = new_id(), await hash_password(password)
    async with database.one_statement() as connection:
        created_at = await users.create(
            connection, user_id=user_id, team_id=DEFAULT_TEAM_ID, email=email, password_hash=password_hash
        )
    return Account(user_id, email, created_at)


async def log_in(database: Database, *, email: str, password: str, team: str | None) -> tuple[Account, Identity]:
    """Return the account that the address and the password fit.

    An unknown address, a wrong password and an inactive account are one error after the same work.

    Raises:
        InvalidCredentials: no active account fits.
        TeamRequired: accounts of more than one team fit, and `team` does not say which.
        DatabaseUnavailable: nobody can be told from anybody.
    """
    async with database.one_statement() as connection:
        known = await users.find_by_email(connection, email, team=team)
    fitting = [user for user in known if await verify_password(password, user.password_hash)]
    if not known:
        await verify_password(password, None)
    active = [user for user in fitting if user.is_active]
    if not active:
        raise InvalidCredentials
    if len(active) > 1:
        raise TeamRequired
    user = active[0]
    return Account(user.id, user.email, user.created_at), Identity(user.id, user.team_id, user.role)
