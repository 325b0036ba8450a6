"""The job that closes what killed functions left open, and deletes what is over."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from lib.db.session import Connection, Database
from lib.db.tenant import EVERY_TEAM
from lib.store import password_resets, rate_limits, sessions, turn_keys, unfinished

BUDGET: Final = 20.0
"""Seconds after which no further batch is begun: a function on AWS Lambda has 29. The next run goes on."""

OVER: Final = {
    "limits": (rate_limits.purge, rate_limits.BATCH),
    "sessions": (sessions.purge, sessions.BATCH),
    "resets": (password_resets.purge, password_resets.BATCH),
    "keys of turns": (turn_keys.purge, turn_keys.BATCH),
}
"""What deletes a batch of what is over, and how many rows a batch has."""

_log = logging.getLogger("parley.jobs")


async def reap(database: Database) -> int:
    """Mark the answers that nobody writes any more as interrupted, and return how many there were.

    Delete the counts of attempts, the sessions, the resets of passwords and the keys of turns that have long been over.
    It may run at any time, and twice at once.

    Raises:
        DatabaseUnavailable: Postgres is away; the batches before it stay done.
    """
    until = time.monotonic() + BUDGET
    reaped = await _all_of(database, unfinished.interrupt_batch, unfinished.BATCH, until)
    _log.info("reaped %d unfinished answers", reaped)
    for name, (purge, batch) in OVER.items():
        _log.info("deleted %d %s that are over", await _all_of(database, purge, batch, until), name)
    return reaped


async def _all_of(
    database: Database, one_batch: Callable[[Connection], Awaitable[int]], batch: int, until: float
) -> int:
    """Run a statement until it finds less than a batch, or the time is up; return how many rows it changed."""
    changed, last = 0, batch
    while last == batch and time.monotonic() < until:
        async with database.one_statement(EVERY_TEAM) as connection:
            last = await one_batch(connection)
        changed += last
    return changed
