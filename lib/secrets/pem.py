"""Keys of a pair, read from PEM and found fit for one algorithm.

`cryptography` is loaded with this module, so only a deployment that signs with a pair pays for it.
"""

import re
from functools import cache
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

LEAST_BITS: Final = 2048
"""Of an RSA key: RFC 7518, section 3.3."""

type PrivateKey = RSAPrivateKey | Ed25519PrivateKey
type PublicKey = RSAPublicKey | Ed25519PublicKey

_KINDS: Final = {"RS256": (RSAPrivateKey, RSAPublicKey), "EdDSA": (Ed25519PrivateKey, Ed25519PublicKey)}
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


class KeyUnusable(ValueError):
    """A key cannot be used. The message goes on after the variable's name, and holds nothing of the key."""


@cache  # to find an RSA key sound takes some 50 ms
def read_private(text: str, algorithm: str) -> PrivateKey:
    """Return the private key of `algorithm` (RS256 or EdDSA) in a PEM.

    Raises:
        KeyUnusable: it is none, is of another kind, is encrypted, or is too short.
    """
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise KeyUnusable("is encrypted: give it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable("is no private key in PEM") from None
    if not isinstance(key, _KINDS[algorithm][0]):
        raise KeyUnusable(f"is no private key of {algorithm}")
    _refuse_short(key)
    return key


def read_public(text: str, algorithm: str) -> tuple[PublicKey, ...]:
    """Return the public keys of `algorithm` (RS256 or EdDSA) in any number of PEMs, in their order.

    Raises:
        KeyUnusable: one is none, is of another kind, or is too short.
    """
    blocks = [found.group() for found in _BLOCK.finditer(text)]
    if text.strip() and _BLOCK.sub("", text).strip():
        raise KeyUnusable("is no public key in PEM")
    return tuple(_read_public(block, algorithm) for block in blocks)


def material(key: PrivateKey) -> bytes:
    """Return the secret that a private key is, the same however its PEM was written."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _read_public(block: str, algorithm: str) -> PublicKey:
    try:
        key = load_pem_public_key(block.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable("is no public key in PEM") from None
    if not isinstance(key, _KINDS[algorithm][1]):
        raise KeyUnusable(f"is no public key of {algorithm}")
    _refuse_short(key)
    return key


def _refuse_short(key: PrivateKey | PublicKey) -> None:
    if isinstance(key, RSAPrivateKey | RSAPublicKey) and key.key_size < LEAST_BITS:
        raise KeyUnusable(f"is an RSA key of {key.key_size} bits: it needs {LEAST_BITS}")
