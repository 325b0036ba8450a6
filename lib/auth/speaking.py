"""For whom a turn is run, when its body names a user."""

from lib.auth.callers import GUEST, Caller
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.errors import NotFound
from lib.ids import as_uuid
from lib.store import users


async def speaking_as(caller: Caller, named: str | None, database: Database) -> Caller:
    """Return for whom a turn is run when its body names a user, which alone proves nothing.

    One of our servers may name anyone. Anybody else may name themselves; naming another makes the turn a guest's.

    Raises:
        NotFound: a server named a user who does not exist.
        DatabaseUnavailable: whom a server named cannot be looked up.
    """
    user_id = as_uuid(named)
    if named is None or (user_id is not None and user_id == caller.user_id):
        return caller
    if not caller.internal:
        return GUEST
    if user_id is None:
        raise NotFound(users.NOBODY)
    async with database.one_statement(EVERY_TEAM) as connection:
        user = await users.find_active(connection, user_id)
    return Caller(team_id=user.team_id, user_id=user.id, internal=True)
