"""Who is asking: every kind of credential goes through here."""

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from lib.auth.identity import Role
from lib.errors import Unauthenticated
from lib.ids import DEFAULT_TEAM_ID

if TYPE_CHECKING:
    from lib.auth.tokens import TokenSigner


@dataclass(frozen=True, slots=True)
class Caller:
    """A guest (no `user_id`), a signed-in user, or one of the team's own servers (`internal`).

    `role` is what the token says: a role that was taken away holds until the token expires.
    """

    team_id: UUID = DEFAULT_TEAM_ID
    user_id: UUID | None = None
    internal: bool = False
    role: Role = "user"


GUEST = Caller()


def identify(signer: "TokenSigner", *, token: str | None, internal_key: str | None, expected_key: str | None) -> Caller:
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
    return Caller(team_id=identity.team_id, user_id=identity.user_id, role=identity.role)
