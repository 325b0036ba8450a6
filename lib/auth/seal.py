"""Secrets at rest: sealed, so that whoever reads the database has not read them.

What seals is derived from `SEAL_KEY`, or where there is none from what signs tokens, for one purpose each: a value that
is sealed in one context opens in no other.
"""

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lib.errors import Unsealable

if TYPE_CHECKING:
    from lib.settings import Settings

LENGTH: Final = 32
"""Bytes of a derived key."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Seals with the newest key and opens with any.

    Attributes:
        roots: what keys are derived from, newest first.
    """

    roots: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def from_settings(cls, settings: "Settings") -> "Seal":
        """Return the seal of a deployment."""
        return cls(_roots(settings))

    def seal(self, value: bytes | str, *, context: str) -> bytes:
        """Return `value` sealed (AES-128-CBC and HMAC-SHA256, as Fernet does).

        Args:
            value: the secret; text as UTF-8.
            context: what it is and whose, such as `totp:<user id>`; it opens with the same alone.
        """
        return self._fernet(context).encrypt(value.encode() if isinstance(value, str) else value)

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Return what was sealed in this context.

        Raises:
            Unsealable: no key of ours opens it, or it was sealed in another context, or changed since.
        """
        try:
            return self._fernet(context).decrypt(sealed)
        except InvalidToken as error:
            raise Unsealable from error

    def _fernet(self, context: str) -> MultiFernet:
        keys = (_derive(root, f"seal {context}") for root in self.roots)
        return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])


def derive_key(settings: "Settings", purpose: str) -> bytes:
    """Return the key for `purpose`, 32 bytes, from the newest of our secrets."""
    return derive_keys(settings, purpose)[0]


def derive_keys(settings: "Settings", purpose: str) -> tuple[bytes, ...]:
    """Return the keys for `purpose` that may have been used, newest first."""
    return tuple(_derive(root, purpose) for root in _roots(settings))


def _derive(root: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), LENGTH, salt=None, info=f"parley {purpose}".encode()).derive(root)


def _roots(settings: "Settings") -> tuple[bytes, ...]:
    """Return what keys are derived from, newest first.

    What signs tokens stays the last of them where there is a `SEAL_KEY`: what was sealed before it was set still opens.
    """
    secrets = [*settings.seal_key, settings.jwt_secret_key, *settings.jwt_previous_secret_keys]
    roots = [secret.get_secret_value().encode() for secret in secrets if secret]
    if settings.jwt_algorithm != "HS256" and settings.jwt_private_key:
        import lib.secrets.pem as pem

        private = pem.read_private(settings.jwt_private_key.get_secret_value(), settings.jwt_algorithm)
        roots.insert(len(settings.seal_key), pem.material(private))
    return tuple(roots)
