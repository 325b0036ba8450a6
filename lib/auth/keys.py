"""The key ring: what signs tokens, and what may have signed them.

One algorithm is configured and no other is ever taken, whatever a token's header says. The header's `kid` picks one key
of the ring, so that a key that is new signs while tokens of the one before still hold.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

import jwt
from jwt.algorithms import get_default_algorithms

from lib.settings import Algorithm, Settings, SettingsInvalid

if TYPE_CHECKING:
    from lib.secrets.pem import PrivateKey, PublicKey

type Verifier = bytes | PublicKey
"""What verifies: the secret itself with HS256, else a public key."""

type Jwk = dict[str, Any]

REMEMBERED: Final = 1024
"""Tokens whose signature is known to hold, at about a kilobyte each. Whoever asks has asked before."""

_THUMBPRINT: Final = {"RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
"""What a thumbprint is made of, in its order: RFC 7638, section 3.2, and RFC 8037, section 2."""


class TokenRefused(Exception):
    """A token has no signature of ours."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a token whose signature holds says."""

    header: Mapping[str, Any]
    payload: bytes


@dataclass(frozen=True)
class KeyRing:
    """Keys of one algorithm.

    Attributes:
        algorithm: the only one that is signed with and taken.
        signer: what signs: a secret, or a private key.
        kid: names the key that signs.
        verifiers: what verifies, by `kid`.
        jwks: the public keys as a JWK set (RFC 7517), for whoever verifies tokens elsewhere; none with HS256.
    """

    algorithm: Algorithm
    signer: "bytes | PrivateKey" = field(repr=False)
    kid: str
    verifiers: "Mapping[str, Verifier]" = field(repr=False)
    jwks: Mapping[str, Sequence[Jwk]]

    @classmethod
    def from_settings(cls, settings: Settings) -> "KeyRing":
        """Return the ring of a deployment.

        Raises:
            SettingsInvalid: nothing is set that signs.
        """
        if settings.jwt_algorithm == "HS256":
            return cls._of_secrets(settings)
        return cls._of_pairs(settings)

    @classmethod
    def _of_secrets(cls, settings: Settings) -> "KeyRing":
        if settings.jwt_secret_key is None:
            raise SettingsInvalid("JWT_SECRET_KEY is not set")
        held = [settings.jwt_secret_key, *settings.jwt_previous_secret_keys]
        secrets = [secret.get_secret_value().encode() for secret in held]
        verifiers = {_kid_of_secret(secret): secret for secret in secrets}
        return cls("HS256", secrets[0], _kid_of_secret(secrets[0]), verifiers, {"keys": []})

    @classmethod
    def _of_pairs(cls, settings: Settings) -> "KeyRing":
        import lib.secrets.pem as pem

        if settings.jwt_private_key is None:
            raise SettingsInvalid("JWT_PRIVATE_KEY is not set")
        algorithm = settings.jwt_algorithm
        private = pem.read_private(settings.jwt_private_key.get_secret_value(), algorithm)
        others = pem.read_public(settings.jwt_public_key or "", algorithm)
        published = {
            jwk["kid"]: (key, jwk) for key in (private.public_key(), *others) for jwk in [_jwk(key, algorithm)]
        }
        return cls(
            algorithm,
            private,
            next(iter(published)),
            {kid: key for kid, (key, _) in published.items()},
            {"keys": [jwk for _, jwk in published.values()]},
        )

    def sign(self, payload: bytes, *, typ: str) -> str:
        """Return a token (JWS, compact) of the newest key, whose header says `typ`."""
        return _jws(self.algorithm).encode(payload, self.signer, self.algorithm, {"typ": typ, "kid": self.kid})

    @cached_property
    def verify(self) -> Callable[[str], Signed]:
        """What returns what a token says, once its signature holds.

        A ring never changes, so a signature that has held always will: it is computed once for a token, letter by
        letter. What else a token must fulfil, its expiry above all, is for whoever reads it, each time. What is refused
        is not remembered, so nobody fills the memory with tokens of their own.

        Raises:
            TokenRefused: it is none, is of another algorithm, or no key of ours has signed it.
        """
        return lru_cache(REMEMBERED)(self._verify)

    def _verify(self, token: str) -> Signed:
        # PyJWT takes padding, with which one token would have several spellings, and fails on half a character.
        if not token.isascii() or "=" in token:
            raise TokenRefused("not in base64url")
        try:
            verifier = self.verifiers[_kid_of_token(token)]
            signed = _jws(self.algorithm).decode_complete(token, verifier, [self.algorithm])
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise TokenRefused(type(error).__name__) from error
        return Signed(signed["header"], signed["payload"])


@cache
def _jws(algorithm: Algorithm) -> jwt.PyJWS:
    return jwt.PyJWS([algorithm])


def _kid_of_token(token: str) -> str:
    """Return what a token's header calls the key. PyJWT would take the whole token apart for it, and then once more."""
    header = token.partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def _kid_of_secret(secret: bytes) -> str:
    """Return what tells a secret from another, and tells nothing that a token signed with it does not."""
    return _base64url(hmac.digest(secret, b"parley: the id of this key", "sha256")[:12])


def _jwk(key: "PublicKey", algorithm: Algorithm) -> Jwk:
    """Return a public key as a JWK, named by its thumbprint (RFC 7638)."""
    jwk: Jwk = get_default_algorithms()[algorithm].to_jwk(key, as_dict=True)
    members = {name: jwk[name] for name in _THUMBPRINT[jwk["kty"]]}
    thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
    return {**members, "use": "sig", "alg": algorithm, "kid": _base64url(thumbprint)}


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
