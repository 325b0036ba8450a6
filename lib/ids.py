"""Identifiers: UUIDv7 (RFC 9562), so that rows made later sort later."""

from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

DEFAULT_TEAM_ID: Final = UUID("01900000-0000-7000-8000-000000000001")
"""The team of guests and of those who register without naming one.

It is fixed, so that a guest's question finds the team's documents while the database is away.
"""


def new_id() -> UUID:
    """Return a fresh UUIDv7."""
    return uuid7()
