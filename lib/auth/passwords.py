"""Passwords at rest: bcrypt over a digest, so that a long password counts whole, off the event loop."""

import asyncio
import base64
import hashlib
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import bcrypt

COST: Final = 12
"""About a quarter of a second of CPU a hash."""

# One thread: bcrypt lets go of the interpreter lock, and two at once would leave no core to the event loop.
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")

# The hash of a password nobody has, for addresses nobody has, so that both take the same time.
_NOBODY: Final = b"$2b$12$UTxRWXEBLS5/13hB2dKliepSnTZuLH2YEesT5dgjC4pq2oC6PKHMS"


async def hash_password(password: str) -> str:
    """Return the bcrypt hash to keep."""
    return await _off_the_loop(lambda: bcrypt.hashpw(_digest(password), bcrypt.gensalt(COST)).decode("ascii"))


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Say whether the password fits the hash; None takes as long and never fits."""
    kept = _NOBODY if password_hash is None else password_hash.encode("ascii")
    fits = await _off_the_loop(lambda: bcrypt.checkpw(_digest(password), kept))
    return fits and password_hash is not None


def _digest(password: str) -> bytes:
    """Return 44 ASCII bytes for any password: bcrypt reads 72 bytes at most and stops at a NUL."""
    normalised = unicodedata.normalize("NFKC", password).encode()
    return base64.b64encode(hashlib.sha256(normalised).digest())


async def _off_the_loop[T](work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_worker, work)
