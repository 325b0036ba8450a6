"""Accounts: register, and show who one is."""

import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

# Its signature names the types of dnspython, which we leave out.
from email_validator import EmailNotValidError, validate_email  # pyright: ignore[reportUnknownVariableType]

from lib.auth.passwords import fingerprint, hash_password, verify_password
from lib.auth.tokens import Challenge
from lib.db.events import Client, new_event
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.errors import EmailTaken, InvalidCredentials, NotFound, TeamNotFound, TeamRequired
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.store import security_events, users
from lib.store.users import NewUser, User

TRIED: Final = 5
"""Accounts of one address that a log-in without a team tries, each of which takes a hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Who wants an account. `email` is normalised; without `team_id` it is in the default team."""

    email: str
    password: str
    full_name: str | None = None
    team_id: UUID = DEFAULT_TEAM_ID


def normalise_email(email: str) -> str:
    """Return the one spelling of an address under which its account is kept.

    Compatibility forms are composed, so that two spellings of one address are one account. Letters are folded before
    the `@`; after it IDNA 2008 does, to whom faß.de and fass.de are two domains, and `xn--fa-hia.de` is no third one.

    Raises:
        ValueError: it is no address.
    """
    local, at, domain = unicodedata.normalize("NFKC", email.strip()).rpartition("@")
    folded = unicodedata.normalize("NFKC", local.casefold())
    try:
        return validate_email(folded + at + domain, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error


async def register(
    database: Database, wanted: Registration, *, client: Client, setup: bool = False
) -> tuple[NewUser, datetime]:
    """Make an account; with `setup` that of the team's first administrator. Return it, and when it was made.

    Raises:
        EmailTaken: the team has one of this address.
        TeamNotFound: there is no such team, or it is not active.
        SetupDone: the team has an administrator already.
        DatabaseUnavailable: nothing is stored.
    """
    new = NewUser(
        id=new_id(),
        team_id=wanted.team_id,
        email=wanted.email,
        password_hash=await hash_password(wanted.password),
        role="admin" if setup else "user",
        full_name=wanted.full_name,
    )
    async with database.one_statement(EVERY_TEAM) as connection:
        created_at = await users.create(connection, new, client=client, setup=setup)
    return new, created_at


async def recognise(database: Database, *, email: str, password: str, team: str | None, client: Client) -> User:
    """Return the account that the address and the password fit.

    An unknown address, a wrong password and an inactive account are one error after the same work, which is that of
    one account: an address with accounts in several teams takes as much more as it has of them, up to `TRIED`. Those
    are the oldest; a younger one takes its `team`.

    Raises:
        InvalidCredentials: no active account of those that were tried fits.
        TeamRequired: accounts of more than one team fit, and `team` does not say which.
        DatabaseUnavailable: nobody can be told from anybody.
    """
    async with database.one_statement(EVERY_TEAM) as connection:
        known = await users.find_by_email(connection, email, team=team, at_most=TRIED)
    fitting = [user for user in known if await verify_password(password, user.password_hash)]
    if not known:
        await verify_password(password, None)
    active = [user for user in fitting if user.is_active]
    if not active:
        await refused(database, known, client=client)
        raise InvalidCredentials
    if len(active) > 1:
        raise TeamRequired
    return active[0]


async def recognise_by_email(database: Database, *, email: str, client: Client) -> User:
    """Return the default team's account of an address, made if there is none. Nothing is proven by it.

    Raises:
        InvalidCredentials: the account has a password, which is to be shown, or is off, or the team is.
        DatabaseUnavailable: nobody can be told from anybody.
    """
    async with database.one_statement(EVERY_TEAM) as connection:
        known = await users.find_by_email(connection, email, team=str(DEFAULT_TEAM_ID), at_most=1)
        if not known:
            new = NewUser(id=new_id(), team_id=DEFAULT_TEAM_ID, email=email, password_hash=None)
            # By the same somebody, at the same time; or the team is off, of which a log-in says nothing.
            with suppress(EmailTaken, TeamNotFound):
                await users.create(connection, new, client=client)
            known = await users.find_by_email(connection, email, team=str(DEFAULT_TEAM_ID), at_most=1)
    for user in known:
        if user.password_hash is None and user.is_active:
            return user
    await refused(database, known, client=client)
    raise InvalidCredentials


async def challenged(database: Database, challenge: Challenge) -> User:
    """Return the account of somebody who completed the second step of a log-in.

    Raises:
        InvalidCredentials: it was switched off since the first, or its password changed.
        DatabaseUnavailable: nobody can be told from anybody.
    """
    try:
        async with database.one_statement(EVERY_TEAM) as connection:
            user = await users.find_active(connection, challenge.user_id)
    except NotFound:
        raise InvalidCredentials from None
    if fingerprint(user.password_hash) != challenge.password:
        raise InvalidCredentials
    return user


async def refused(database: Database, known: tuple[User, ...], *, client: Client) -> None:
    """Note a log-in that was refused: in the team of the account, or of nobody in the default team.

    What was typed is nowhere in it.
    """
    reason = "unknown_email" if not known else "inactive" if not any(u.is_active for u in known) else "wrong_password"
    event = new_event(
        "login_refused",
        team_id=known[0].team_id if known else DEFAULT_TEAM_ID,
        user_id=known[0].id if known else None,
        detail={"reason": reason},
        client=client,
    )
    async with database.one_statement(EVERY_TEAM) as connection:
        await security_events.record(connection, event)
