"""Whether somebody is an administrator still, for work that asks nothing else of the database."""

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
