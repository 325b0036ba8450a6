"""How Postgres is."""

from typing import Final

from lib.db.session import Database
from lib.db.tables import HEAD
from lib.db.tenant import EVERY_TEAM
from lib.errors import DatabaseBusy, DatabaseUnavailable
from lib.health.probe import Reading, Unwell, timed
from lib.store import schema

SLOW: Final = 1.0


async def read_database(database: Database, *, configured: bool) -> Reading:
    """Ask Postgres, past the breaker, which an answer heals, for its schema and whether it takes writes."""

    async def ask() -> Reading | None:
        try:
            async with database.one_statement(EVERY_TEAM, past_breaker=True) as connection:
                state = await schema.state(connection)
        except DatabaseBusy:
            return Reading("degraded", detail="Every connection of this instance is taken.")
        except DatabaseUnavailable:
            raise Unwell("Postgres cannot be reached, gives us no access, or does not answer.") from None
        return _judged(state)

    if not configured:
        return Reading("down", detail="DATABASE_URL is not set.", configured=False)
    return await timed(ask, slow=SLOW)


def _judged(state: schema.State) -> Reading | None:
    if state.version is None:
        return Reading("degraded", detail="There are no tables: run scripts/init_db.py.")
    if state.version < HEAD:  # a database ahead of us is one that was prepared for the next version
        return Reading(
            "degraded", detail=f"The tables are at {state.version} and should be at {HEAD}: run scripts/init_db.py."
        )
    if state.read_only:
        return Reading("degraded", detail="Postgres takes no writes.")
    if state.walled_out:
        return Reading("degraded", detail="The role in DATABASE_URL lacks a grant or a policy: see docs/operations.md.")
    return None
