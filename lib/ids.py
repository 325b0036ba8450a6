"""Identifiers: UUIDv7 (RFC 9562), so that rows made later sort later."""

import secrets
import time
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

DEFAULT_TEAM_ID: Final = UUID("01900000-0000-7000-8000-000000000001")
"""The team of guests and of those who register without naming one.

It is fixed, so that a guest's question finds the team's documents while the database is away.
"""


def new_id() -> UUID:
    """Return a fresh UUIDv7, later than every one this process made before: messages are ordered by it."""
    return uuid7()


def id_after(other: UUID) -> UUID:
    """Return a fresh UUIDv7 that is later than another one, whose clock may have been ahead of this one."""
    fresh = new_id()
    if fresh > other:
        return fresh
    milliseconds = (other.int >> 80) + 1
    return UUID(int=milliseconds << 80 | fresh.int & ((1 << 80) - 1))


def unguessable_id() -> UUID:
    """Return a UUIDv7 whose every bit beside the time is random, 74 of them.

    A guest's conversation belongs to whoever holds its id, so one id must not tell the next (RFC 9562, 5.7 and 8).
    """
    milliseconds = time.time_ns() // 1_000_000
    return UUID(int=milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62))


def as_uuid(value: str | None) -> UUID | None:
    """Return the UUID that a text spells, or None."""
    try:
        return UUID(value) if value else None
    except ValueError:
        return None
