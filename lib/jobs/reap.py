"""The job that closes what killed functions left open."""

import logging
import time
from typing import Final

from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.store import unfinished

BUDGET: Final = 20.0
"""Seconds after which no further batch is begun: a function on AWS Lambda has 29. The next run goes on."""

_log = logging.getLogger("parley.jobs")


async def reap(database: Database) -> int:
    """Mark the answers that nobody writes any more as interrupted, and return how many there were.

    It may run at any time, and twice at once.

    Raises:
        DatabaseUnavailable: Postgres is away; the batches before it stay done.
    """
    until, reaped, last = time.monotonic() + BUDGET, 0, unfinished.BATCH
    while last == unfinished.BATCH and time.monotonic() < until:
        async with database.one_statement(EVERY_TEAM) as connection:
            last = await unfinished.interrupt_batch(connection)
        reaped += last
    _log.info("reaped %d unfinished answers", reaped)
    return reaped
