"""How often somebody has tried something in the last minute: one row for each limit and whom it is for."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text

from lib.db.limits import COUNT, WINDOW, Hit, Taken
from lib.db.session import Connection

BATCH: Final = 5000
"""Rows that one statement of `purge` deletes."""


async def take(connection: Connection, hits: Sequence[Hit]) -> tuple[Taken, ...]:
    """Count an attempt for several subjects, in one statement, and return what was counted.

    Addresses come first. What an address is refused is not counted for anybody else, so that one address cannot lock
    many accounts. Rows are taken in one order, whoever asks, so that no two attempts wait for each other.
    """
    parameters = {
        "keys": [hit.key for hit in hits],
        "limits": [hit.limit for hit in hits],
        "later": [hit.kind != "address" for hit in hits],
    }
    counted = {row.key: row for row in await connection.execute(_TAKE, parameters)}
    return tuple(Taken(hit, counted[hit.key].hits, counted[hit.key].seconds_left) for hit in hits if hit.key in counted)


async def purge(connection: Connection) -> int:
    """Delete up to `BATCH` rows whose window is long over, and return how many."""
    return (await connection.execute(_PURGE, {"batch": BATCH, "seconds": 10 * WINDOW})).rowcount


# Below, constants of ours are joined into statements; values only ever go in as parameters (hence noqa: S608).

_TAKE = text(f"""
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:limits AS integer[]), CAST(:later AS boolean[]))
            AS asked (key, allowed, later)
    ), first AS (
        INSERT INTO rate_limits AS kept (key, hits) SELECT key, 1 FROM asked WHERE NOT later ORDER BY key {COUNT}
    ), second AS (
        INSERT INTO rate_limits AS kept (key, hits) SELECT key, 1 FROM asked
        WHERE later AND (SELECT count(*) FROM first JOIN asked USING (key) WHERE first.hits > asked.allowed) = 0
        ORDER BY key {COUNT}
    )
    SELECT key, hits, seconds_left FROM first UNION ALL SELECT key, hits, seconds_left FROM second
""")  # noqa: S608

_PURGE = text("""
    DELETE FROM rate_limits WHERE key = ANY (ARRAY(
        SELECT key FROM rate_limits WHERE began_at < now() - make_interval(secs => :seconds)
        LIMIT :batch FOR UPDATE SKIP LOCKED
    ))
""")
