"""Secrets that development makes for itself, once, and keeps in a folder."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

BYTES: Final = 32
BITS: Final = 2048
"""Of an RSA key that development makes: the least that is taken, and the quickest made."""


def random_secret() -> str:
    """Return a new secret."""
    return secrets.token_urlsafe(BYTES)


def private_key(algorithm: str) -> str:
    """Return a new private key of RS256 or EdDSA, as a PEM."""
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pair = algorithm == "EdDSA"
    key = ed25519.Ed25519PrivateKey.generate() if pair else rsa.generate_private_key(65537, BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def read_or_make(path: Path, make: Callable[[], str] = random_secret) -> str:
    """Return the secret in the file at `path`, made by whichever process comes first.

    Raises:
        OSError: the file can be neither read nor made.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(make())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text()
