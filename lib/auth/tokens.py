"""Access tokens: short-lived JWTs that say who is asking, so that asking costs no database."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import jwt

from lib.auth.identity import Identity
from lib.errors import Unauthenticated

ALGORITHM: Final = "HS256"
ISSUER: Final = "parley"
AUDIENCE: Final = "parley"
TYPE: Final = "at+jwt"
"""The header's `typ` (RFC 9068): another kind of token of ours is no access token."""


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Makes and reads access tokens with one secret."""

    secret: str
    lifetime: timedelta

    def sign(self, identity: Identity) -> str:
        """Return a token for this identity, valid from now for `lifetime`."""
        now = datetime.now(UTC)
        claims = {
            "sub": str(identity.user_id),
            "team": str(identity.team_id),
            "role": identity.role,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.lifetime,
        }
        return jwt.encode(claims, self.secret, ALGORITHM, headers={"typ": TYPE})

    def read(self, token: str) -> Identity:
        """Return whom a token speaks for.

        Raises:
            Unauthenticated: it is not ours, has expired, or is of another kind.
        """
        try:
            decoded = jwt.decode_complete(
                token,
                self.secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
            return _identity(decoded["header"], decoded["payload"])
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as error:
            raise Unauthenticated("This sign-in is not valid or has expired.") from error


def _identity(header: dict[str, Any], claims: dict[str, Any]) -> Identity:
    role = claims["role"]
    if header.get("typ") != TYPE or role not in {"user", "admin"}:
        raise ValueError("not an access token")
    return Identity(UUID(claims["sub"]), UUID(claims["team"]), role)
