"""Tokens: short-lived JWTs that say who is asking, so that asking costs no database.

There are two kinds. An access token speaks for a signed-in user. A challenge is what somebody holds who knew the
password, until the second step of the log-in. The header's `typ` tells them apart, and neither is taken for the other.
"""

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

from lib.auth.identity import Identity
from lib.auth.keys import KeyRing, TokenRefused
from lib.errors import InvalidChallenge, Unauthenticated

ISSUER: Final = "parley"
AUDIENCE: Final = "parley"
ACCESS: Final = "at+jwt"
"""The `typ` of an access token (RFC 9068)."""
CHALLENGE: Final = "2fa+jwt"
CHALLENGE_LIFETIME: Final = timedelta(minutes=5)
LEEWAY: Final = 5
"""Seconds by which the clocks of two instances may differ."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Who has shown a password and owes a second factor. `password` is the fingerprint of what fitted then."""

    user_id: UUID
    team_id: UUID
    password: str


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Makes and reads tokens with a ring of keys. `lifetime` is that of an access token."""

    ring: KeyRing
    lifetime: timedelta

    def sign(self, identity: Identity) -> str:
        """Return an access token for this identity, valid from now for `lifetime`."""
        claims = {
            "sub": str(identity.user_id),
            "team": str(identity.team_id),
            "role": identity.role,
            "sid": str(identity.session_id),
        }
        return self._sign(claims, ACCESS, self.lifetime)

    def read(self, token: str) -> Identity:
        """Return whom an access token speaks for.

        Raises:
            Unauthenticated: it is not ours, has expired, or is of another kind.
        """
        try:
            claims = self._read(token, ACCESS)
            role = claims["role"]
            if role not in {"user", "admin"}:
                raise ValueError("no role of ours")
            return Identity(UUID(claims["sub"]), UUID(claims["team"]), role, UUID(claims["sid"]))
        except (TokenRefused, KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unauthenticated("This sign-in is not valid or has expired.") from error

    def sign_challenge(self, user_id: UUID, team_id: UUID, password: str) -> str:
        """Return a challenge for the second step of a log-in, valid from now for five minutes.

        Args:
            user_id: who is signing in.
            team_id: their team.
            password: `lib.auth.passwords.fingerprint` of the hash that fitted: one that is changed meanwhile is none.
        """
        claims = {"sub": str(user_id), "team": str(team_id), "pwd": password}
        return self._sign(claims, CHALLENGE, CHALLENGE_LIFETIME)

    def read_challenge(self, token: str) -> Challenge:
        """Return whom a challenge is for.

        Raises:
            InvalidChallenge: it is not ours, has expired, or is of another kind.
        """
        try:
            claims = self._read(token, CHALLENGE)
            return Challenge(UUID(claims["sub"]), UUID(claims["team"]), str(claims["pwd"]))
        except (TokenRefused, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidChallenge from error

    def _sign(self, claims: dict[str, Any], typ: str, lifetime: timedelta) -> str:
        now = int(time.time())
        standard = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + int(lifetime.total_seconds())}
        return self.ring.sign(json.dumps(claims | standard, separators=(",", ":")).encode(), typ=typ)

    def _read(self, token: str, typ: str) -> dict[str, Any]:
        """Return the claims of a token of this kind that is for us and holds now.

        We write every token that we read, so a claim of any other shape than ours is refused.
        """
        signed = self.ring.verify(token)
        claims = cast("dict[str, Any]", json.loads(signed.payload))
        now = time.time()
        if signed.header["typ"] != typ or claims["iss"] != ISSUER or claims["aud"] != AUDIENCE:
            raise ValueError("of another kind, or not from us, or not for us")
        if type(claims["iat"]) is not int or type(claims["exp"]) is not int:
            raise TypeError("no times")
        if claims["exp"] + LEEWAY <= now or claims["iat"] - LEEWAY > now:
            raise ValueError("expired, or from the future")
        return claims
