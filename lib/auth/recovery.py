"""Recovery codes: for whoever has lost the app that makes the other codes. Each works once."""

import hashlib
import secrets
from typing import Final

COUNT: Final = 10
"""Codes that a user is given at a time."""

# Crockford's base32: no letter that looks like a digit, and no U, which would let words come up.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD: Final = str.maketrans("ILO", "110")
_LENGTH: Final = 16  # characters of five bits: 80 bits
_GROUP: Final = 4


def new_codes() -> tuple[str, ...]:
    """Return fresh codes, each of four groups of four characters: `7KQ2-M0XC-...`."""
    return tuple(_new_code() for _ in range(COUNT))


def _new_code() -> str:
    characters = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return "-".join(characters[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP))


def hash_of(code: str) -> bytes:
    """Return what is kept of a code.

    SHA-256 without salt or stretching is enough: those protect secrets that people choose. Of 2^80 equally likely codes
    nobody can try enough, and no two users have the same.

    Args:
        code: capitals and digits; hyphens are not read, and a letter that looks like a digit is read as the digit.
    """
    return hashlib.sha256(code.replace("-", "").translate(_MISREAD).encode()).digest()
