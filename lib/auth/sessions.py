"""Sessions: what a log-in begins, a refresh keeps alive and a log-out ends."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from lib.auth.identity import Identity, Role
from lib.auth.refresh import RefreshTokens
from lib.db.events import Client
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.errors import InvalidCredentials, RefreshInvalid
from lib.ids import new_id
from lib.store import sessions
from lib.store.sessions import Method, NewSession

if TYPE_CHECKING:
    from lib.auth.tokens import TokenSigner


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client holds of a session. The lifetimes are of the two tokens, from now."""

    access: str
    refresh: str
    access_lifetime: timedelta
    refresh_lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Sessions:
    """Begins, refreshes and ends sessions. `lifetime` is how long one lasts without a refresh."""

    database: Database
    signer: "TokenSigner"
    refresh_tokens: RefreshTokens
    lifetime: timedelta

    async def begin(
        self,
        *,
        user_id: UUID,
        team_id: UUID,
        role: Role,
        method: Method,
        client: Client,
        password_hash: str | None = None,
    ) -> Tokens:
        """Sign somebody in who has shown who they are.

        Args:
            user_id: the account.
            team_id: its team.
            role: its role there.
            method: how they showed it.
            client: what they signed in with.
            password_hash: that of the account when they did, None where it has no password.

        Raises:
            InvalidCredentials: the account was switched off meanwhile, or its password changed.
            DatabaseUnavailable: nobody is signed in.
        """
        new = NewSession(
            id=new_id(),
            team_id=team_id,
            user_id=user_id,
            password_hash=password_hash,
            method=method,
            client=client,
            lifetime=self.lifetime,
        )
        async with self.database.one_statement(EVERY_TEAM) as connection:
            if not await sessions.begin(connection, new):
                raise InvalidCredentials
        return self._tokens(Identity(user_id, team_id, role, new.id), generation=0)

    async def refresh(self, token: str, *, client: Client) -> Tokens:
        """Exchange a refresh token for the next, and an access token that says the role of today.

        Raises:
            RefreshInvalid: it is not ours, the session has ended, or the token was exchanged already; that ends it.
            DatabaseUnavailable: nothing changed.
        """
        session_id, generation = self.refresh_tokens.read(token)
        async with self.database.one_statement(EVERY_TEAM) as connection:
            kept = await sessions.refresh(
                connection, session_id, generation=generation, lifetime=self.lifetime, client=client
            )
        if kept is None or kept.generation is None:
            raise RefreshInvalid
        return self._tokens(Identity(kept.user_id, kept.team_id, kept.role, session_id), generation=kept.generation)

    async def log_out(self, session_id: UUID, *, client: Client) -> None:
        """End a session whose token was shown.

        Raises:
            DatabaseUnavailable: it goes on.
        """
        async with self.database.one_statement(EVERY_TEAM) as connection:
            await sessions.log_out(connection, session_id, client=client)

    def _tokens(self, identity: Identity, *, generation: int) -> Tokens:
        return Tokens(
            access=self.signer.sign(identity),
            refresh=self.refresh_tokens.make(identity.session_id, generation),
            access_lifetime=self.signer.lifetime,
            refresh_lifetime=self.lifetime,
        )
