"""Make an administrator of the default team: of an account that there is, or by a new one.

A password is never on the command line, where other processes read it and a shell remembers it: it is typed, made here
and shown once, or read from standard input.
"""

import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from getpass import getpass

from pydantic import TypeAdapter, ValidationError

from lib.auth.accounts import normalise_email
from lib.auth.passwords import hash_password
from lib.db.events import NO_CLIENT
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.errors import InvalidRequest
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.store import users
from lib.store.users import NewUser
from lib.web.fields import NewPassword


@dataclass(frozen=True)
class ChosenPassword:
    """A password for a new account; `made` says that nobody knows it yet."""

    text: str
    made: bool = False


async def make_admin(database: Database, email: str, choose: Callable[[str], ChosenPassword]) -> str:
    """Make the account of `email` in the default team an administrator's; return what was done, in a few lines.

    Args:
        database: where accounts are.
        email: an address, in any spelling.
        choose: asked for a password, with the address, when nobody has it: a new account is made then.

    Raises:
        InvalidRequest: it is no address, or the password is none that is taken.
        DatabaseUnavailable: it cannot be reached.
    """
    try:
        address = normalise_email(email)
    except ValueError:
        raise InvalidRequest(f"{email} is no email address") from None
    async with database.one_statement(EVERY_TEAM) as connection:
        if await users.make_admin(connection, team_id=DEFAULT_TEAM_ID, email=address, client=NO_CLIENT):
            return f"{address} is an administrator."
    password = choose(address)
    new = NewUser(
        id=new_id(),
        team_id=DEFAULT_TEAM_ID,
        email=address,
        password_hash=await hash_password(_fit_to_keep(password.text)),
        role="admin",
    )
    async with database.one_statement(EVERY_TEAM) as connection:
        await users.create(connection, new, client=NO_CLIENT)
    made = f"\nIts password is {password.text}\nIt is shown this once: sign in and change it." if password.made else ""
    return f"{address} has a new account, and is an administrator.{made}"


def choose_password(address: str) -> ChosenPassword:
    """Have the password typed twice or made, at a terminal; elsewhere read it from the first line of standard input.

    Raises:
        InvalidRequest: there is none, or it was typed in two ways.
    """
    if not sys.stdin.isatty():
        if given := sys.stdin.readline().rstrip("\r\n"):
            return ChosenPassword(given)
        raise InvalidRequest(f"nobody has the address {address}: for a new account give a password on standard input")
    print(f"Nobody has the address {address} yet. A new account needs a password.")
    try:
        typed = getpass("Password (nothing to have one made): ")
        if not typed:
            return ChosenPassword(secrets.token_urlsafe(18), made=True)
        if getpass("Once more: ") != typed:
            raise InvalidRequest("the two passwords are not the same")
    except EOFError:
        raise InvalidRequest("no password was typed") from None
    return ChosenPassword(typed)


def _fit_to_keep(password: str) -> str:
    try:
        return TypeAdapter[str](NewPassword).validate_python(password)
    except ValidationError as error:
        raise InvalidRequest(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
