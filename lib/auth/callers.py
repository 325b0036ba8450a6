"""Who is asking: every kind of credential goes through here."""

import hmac
from dataclasses import dataclass
from uuid import UUID

from lib.auth.tokens import TokenSigner
from lib.db.session import Database
from lib.errors import NotFound, Unauthenticated
from lib.ids import DEFAULT_TEAM_ID, as_uuid
from lib.store import users


@dataclass(frozen=True, slots=True)
class Caller:
    """A guest (no `user_id`), a signed-in user, or one of the team's own servers (`internal`)."""

    team_id: UUID = DEFAULT_TEAM_ID
    user_id: UUID | None = None
    internal: bool = False


GUEST = Caller()


def identify(signer: TokenSigner, *, token: str | None, internal_key: str | None, expected_key: str | None) -> Caller:
    """Return the caller that a request's credentials name, a guest when it has none.

    Raises:
        Unauthenticated: a credential was given and does not hold. It is never quietly taken for a guest's.
    """
    if internal_key is not None:
        if expected_key is None or not hmac.compare_digest(internal_key.encode(), expected_key.encode()):
            raise Unauthenticated("The internal key is not valid.")
        return Caller(internal=True)
    if token is None:
        return GUEST
    identity = signer.read(token)
    return Caller(team_id=identity.team_id, user_id=identity.user_id)


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
    async with database.one_statement() as connection:
        user = await users.find_active(connection, user_id)
    return Caller(team_id=user.team_id, user_id=user.id, internal=True)
