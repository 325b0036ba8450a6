"""Passwords at rest: bcrypt over a digest, so that a long password counts whole, off the event loop."""

import asyncio
import base64
import hashlib
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import BoundedSemaphore
from typing import Final

import bcrypt

from lib.errors import Busy

COST: Final = 12
"""About a quarter of a second of CPU a hash."""
MOST_WAITING: Final = 32
"""Passwords that wait for their hash at most, the one under way among them: the last of them for nine seconds."""
MOST_NEW: Final = 12
"""Of these, passwords to keep: whoever registers in masses leaves 20 places to those who log in."""

# One thread: bcrypt lets go of the interpreter lock, and two at once would leave no core to the event loop.
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")
_places = BoundedSemaphore(MOST_WAITING)
_places_of_new = BoundedSemaphore(MOST_NEW)

# The hash of a password nobody has, for addresses nobody has, so that both take the same time.
_NOBODY: Final = b"$2b$12$UTxRWXEBLS5/13hB2dKliepSnTZuLH2YEesT5dgjC4pq2oC6PKHMS"

_COMMON: Final = Path(__file__).with_name("common_passwords.txt")


async def hash_password(password: str) -> str:
    """Return the bcrypt hash to keep.

    Raises:
        Busy: too many passwords wait for theirs.
    """
    if not _places_of_new.acquire(blocking=False):
        raise Busy(retry_after=MOST_NEW // 4)
    try:
        hashing = _begin(lambda: bcrypt.hashpw(_digest(password), bcrypt.gensalt(COST)).decode("ascii"))
    except Busy:
        _places_of_new.release()
        raise
    hashing.add_done_callback(lambda _: _places_of_new.release())
    return await asyncio.wrap_future(hashing)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Say whether the password fits the hash; None takes as long and never fits.

    Raises:
        Busy: too many passwords wait for their hash.
    """
    kept = _NOBODY if password_hash is None else password_hash.encode("ascii")
    fits = await asyncio.wrap_future(_begin(lambda: bcrypt.checkpw(_digest(password), kept)))
    return fits and password_hash is not None


def is_common(password: str) -> bool:
    """Say whether a password is one of those that everybody tries first, in capitals or not (ASVS 6.2.4)."""
    return unicodedata.normalize("NFKC", password).casefold() in _common()


@cache
def _common() -> frozenset[str]:
    """Read the list when the first password is chosen: most instances never see one (docs/decisions/passwords.md)."""
    return frozenset(_COMMON.read_text().splitlines())


def fingerprint(password_hash: str | None) -> str:
    """Return what tells one hash from another and says nothing of either: the same until the password is changed."""
    return hashlib.sha256((password_hash or "").encode()).hexdigest()[:32]


def _digest(password: str) -> bytes:
    """Return 44 ASCII bytes for any password: bcrypt reads 72 bytes at most and stops at a NUL."""
    normalised = unicodedata.normalize("NFKC", password).encode()
    return base64.b64encode(hashlib.sha256(normalised).digest())


def _begin[T](work: Callable[[], T]) -> Future[T]:
    """Queue the work, off the event loop. Its place is free when it is done, or given up before it began.

    Raises:
        Busy: there is no place.
    """
    if not _places.acquire(blocking=False):
        raise Busy(retry_after=MOST_WAITING // 4)
    hashing = _worker.submit(work)
    hashing.add_done_callback(lambda _: _places.release())
    return hashing
