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
        KeyUnusable: it is none, is of another kind, is encrypted, or is weak.
    """
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise KeyUnusable("is encrypted: give it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable("is no private key in PEM") from None
    if not isinstance(key, _KINDS[algorithm][0]):
        raise KeyUnusable(f"is no private key of {algorithm}")
    _refuse_weak(key)
    return key


def read_public(text: str, algorithm: str) -> tuple[PublicKey, ...]:
    """Return the public keys of `algorithm` (RS256 or EdDSA) in any number of PEMs, in their order.

    Raises:
        KeyUnusable: one is none, is of another kind, or is weak.
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
    _refuse_weak(key)
    return key


def _refuse_weak(key: PrivateKey | PublicKey) -> None:
    if not isinstance(key, RSAPrivateKey | RSAPublicKey):
        return
    if key.key_size < LEAST_BITS:
        raise KeyUnusable(f"is an RSA key of {key.key_size} bits: it needs {LEAST_BITS}")
    public = key.public_key() if isinstance(key, RSAPrivateKey) else key
    if all(public.public_numbers().n % prime in powers for prime, powers in _roca().items()):
        raise KeyUnusable("is an RSA key that can be computed (CVE-2017-15361): make another one")


@cache
def _roca() -> dict[int, set[int]]:
    """Return, for small primes, the remainders of every modulus that Infineon's faulty library made.

    They are the powers of 65537. Those of any other key are among them for all the primes once in two hundred million.
    (M. Nemec and others: The Return of Coppersmith's Attack, ACM CCS 2017, section 2.3)
    """
    primes = [number for number in range(3, 168) if all(number % divisor for divisor in range(2, number))]
    return {prime: {pow(65537, power, prime) for power in range(prime)} for prime in primes}
