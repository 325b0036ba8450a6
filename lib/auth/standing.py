"""Whether somebody is signed in, or an administrator, still: for what asks nothing else of the database by then."""

from lib.auth.callers import Caller
from lib.db.session import Database
from lib.errors import DatabaseUnavailable, Forbidden
from lib.store import users


async def confirm_admin(database: Database, caller: Caller) -> None:
    """Let an administrator pass, and one of our own servers.

    While the database is away, what the token says counts, until it expires: an operator wants to know what is wrong.

    Raises:
        Forbidden: it is a user.
        Unauthenticated: they are signed in no longer.
    """
    if caller.internal:
        return
    try:
        async with database.one_statement(caller.tenant(admin=True)) as connection:
            await users.find_active(connection, caller.user)
    except DatabaseUnavailable:
        if caller.role != "admin":
            raise Forbidden from None


async def confirm_signed_in(database: Database, caller: Caller) -> None:
    """Let a person pass whose session holds.

    Raises:
        Unauthenticated: it has ended, or the account or its team is off.
        DatabaseUnavailable: nobody knows.
    """
    async with database.one_statement(caller.tenant()) as connection:
        await users.find_active(connection, caller.user)
