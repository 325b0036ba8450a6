"""Who is asking: every kind of credential goes through here."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from lib.auth.identity import Key, Role, Scope
from lib.db.tenant import EVERY_TEAM, Asker, Reach, Tenant
from lib.errors import Forbidden, ScopeMissing, Unauthenticated
from lib.ids import DEFAULT_TEAM_ID

if TYPE_CHECKING:
    from lib.auth.tokens import TokenSigner

KEY_PREFIX: Final = "parley_"
"""What an API key begins with. No token of ours does."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A guest (no `user_id`), a signed-in user, a program with a user's key, or one of our own servers (`internal`).

    Attributes:
        team_id: the team whose rows the caller may see.
        user_id: the account; None for a guest, and for a server that speaks for nobody in particular.
        internal: the internal key was given.
        role: what the credential said when it was made. It opens nothing: `tenant` has Postgres say what holds now.
        session_id: the session of a signed-in user.
        key_id: the API key of a program.
        scopes: what that key may do. A user may do all that their role may.
    """

    team_id: UUID = DEFAULT_TEAM_ID
    user_id: UUID | None = None
    internal: bool = False
    role: Role = "user"
    session_id: UUID | None = None
    key_id: UUID | None = None
    scopes: frozenset[Scope] = frozenset({"chat", "read", "admin"})

    @property
    def user(self) -> UUID:
        """The account of whoever has one.

        Raises:
            Unauthenticated: it is a guest, or a server of ours.
        """
        if self.user_id is None:
            raise Unauthenticated
        return self.user_id

    @property
    def session(self) -> UUID:
        """The session of a person.

        Raises:
            Unauthenticated: it is a guest, or a server of ours.
            Forbidden: it is a program, with a key.
        """
        if self.session_id is None:
            raise Forbidden("This takes a person who is signed in, not an API key.") if self.user else Unauthenticated
        return self.session_id

    def needs(self, scope: Scope) -> None:
        """Refuse an API key that was not made for this.

        Raises:
            ScopeMissing: it lacks the scope.
        """
        if scope not in self.scopes:
            raise ScopeMissing(f"This API key lacks the scope {scope!r}.")

    def tenant(self, *, admin: bool = False) -> Tenant:
        """Return whose rows the caller's statements reach, each of them only while the credential holds.

        Args:
            admin: only while the account is an administrator's, too.
        """
        return Tenant(self.team_id, Asker(self.user_id, self.session_id, self.key_id, admin=admin))

    def reach(self) -> Reach:
        """Return what an administrator's statements reach: their team, or with the internal key every team."""
        return EVERY_TEAM if self.internal else self.tenant(admin=True)


GUEST: Final = Caller()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What came with a request: a token or an API key, and the internal key."""

    token: str | None
    internal_key: str | None


async def identify(
    credentials: Credentials,
    *,
    signer: "Callable[[], TokenSigner]",
    read_key: Callable[[str], Awaitable[Key]],
    internal_key: str | None,
) -> Caller:
    """Return the caller that a request's credentials name, a guest when it has none.

    Args:
        credentials: what was sent.
        signer: makes what reads tokens.
        read_key: looks up an API key.
        internal_key: the one that is right, None where there is none.

    Raises:
        Unauthenticated: a credential was given and does not hold. It is never quietly taken for a guest's.
        DatabaseUnavailable: an API key cannot be looked up.
    """
    if credentials.internal_key is not None:
        if internal_key is None or not hmac.compare_digest(credentials.internal_key.encode(), internal_key.encode()):
            raise Unauthenticated("The internal key is not valid.")
        return Caller(internal=True)
    if credentials.token is None:
        return GUEST
    if credentials.token.startswith(KEY_PREFIX):
        key = await read_key(credentials.token)
        return Caller(key.team_id, key.user_id, key_id=key.id, scopes=key.scopes)
    who = signer().read(credentials.token)
    return Caller(who.team_id, who.user_id, role=who.role, session_id=who.session_id)
