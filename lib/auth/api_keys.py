"""API keys: how a program shows whose work it does.

A key is `parley_<id>_<secret>`: 16 bytes that name it and 32 that prove it, both in base64url (RFC 4648, 5). Its prefix
lets a scanner of leaked secrets know it. The database has a SHA-256 of the whole, which is enough for 256 random bits.
"""

import hashlib
import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from lib.auth.callers import KEY_PREFIX, Caller
from lib.auth.identity import Key, Scope
from lib.db.events import Client
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.errors import DatabaseBusy, DatabaseUnavailable, Unauthenticated
from lib.ids import new_id
from lib.store import api_keys
from lib.store.api_keys import ListedKey, NewKey

MOST_KNOWN: Final = 1_000
"""Keys that an instance remembers: a few hundred bytes each."""
FRESH: Final = 60.0
"""Seconds that a key is known for without another look."""


@dataclass(frozen=True, slots=True)
class Made:
    """A key that was made: the only time that it is whole."""

    key: str
    listed: ListedKey


class KeyReader:
    """Reads the keys that programs send, and remembers those that were right.

    A key costs one round trip a minute and instance, which notes that it is used. Whether it works still is asked with
    the statement that does its work.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Look keys up in `database`; `clock` tells the time in seconds."""
        self._database = database
        self._clock = clock
        self._known: dict[bytes, tuple[Key, float]] = {}

    async def read(self, key: str) -> Key:
        """Return whose key it is.

        Raises:
            Unauthenticated: it is nobody's, was revoked, or has expired.
            DatabaseUnavailable: it was not seen here yet, and nobody knows.
        """
        digest = _digest(key)
        found, seen = self._known.get(digest, (None, 0.0))
        if found is None or self._clock() - seen > FRESH:
            found = await self._look_up(key, digest, found)
        if found.expires_at is not None and found.expires_at <= datetime.now(UTC):
            raise Unauthenticated(_DEAD)
        return found

    async def _look_up(self, key: str, digest: bytes, known: Key | None) -> Key:
        """Ask the database; while it is away, a key that is known is what it was."""
        key_id = id_in(key)
        if key_id is None:
            raise Unauthenticated(_DEAD)
        self._known.pop(digest, None)
        try:
            async with self._database.one_statement(EVERY_TEAM) as connection:
                kept = await api_keys.use(connection, key_id, secret_hash=digest)
        except (DatabaseUnavailable, DatabaseBusy):
            if known is None:
                raise
            self._remember(digest, known)
            return known
        if kept is None:
            raise Unauthenticated(_DEAD)
        found = Key(key_id, kept.user_id, kept.team_id, frozenset(kept.scopes), kept.expires_at)
        self._remember(digest, found)
        return found

    def _remember(self, digest: bytes, key: Key) -> None:
        """Keep a key as the one seen last, and forget the one that was seen longest ago when there are too many."""
        self._known[digest] = key, self._clock()
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]


async def make_key(
    database: Database,
    caller: Caller,
    *,
    name: str,
    scopes: Collection[Scope],
    expires_at: datetime | None,
    client: Client,
) -> Made:
    """Make a key that does the caller's work.

    Raises:
        Forbidden: it would be an administrator's, and its owner is none.
        TooManyKeys: the account has as many as it may have.
        DatabaseUnavailable: there is no new key.
    """
    key_id = new_id()
    key = f"{name_of(key_id)}_{secrets.token_urlsafe(32)}"
    sorted_scopes = sorted(scopes)
    new = NewKey(
        id=key_id,
        team_id=caller.team_id,
        user_id=caller.user,
        name=name,
        scopes=tuple(sorted_scopes),
        secret_hash=_digest(key),
        expires_at=expires_at,
    )
    async with database.one_statement(caller.tenant(admin="admin" in scopes)) as connection:
        created_at = await api_keys.create(connection, new, client=client)
    return Made(key, ListedKey(key_id, name, sorted_scopes, created_at, None, expires_at))


def name_of(key_id: UUID) -> str:
    """Return the part of a key that is no secret."""
    return f"{KEY_PREFIX}{urlsafe_b64encode(key_id.bytes).decode().rstrip('=')}"


def id_in(key: str) -> UUID | None:
    """Return the id that a key names, or None when it is not written as a key is."""
    if (written := _WRITTEN.fullmatch(key)) is None:
        return None
    key_id = UUID(bytes=urlsafe_b64decode(f"{written[1]}=="))
    # Of the last letter two bits count, so that sixteen spell each id; one of them is ours.
    return key_id if key.startswith(f"{name_of(key_id)}_") else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()


_DEAD: Final = "This API key is not valid."
_WRITTEN: Final = re.compile(rf"{KEY_PREFIX}([A-Za-z0-9_-]{{22}})_[A-Za-z0-9_-]{{43}}")
