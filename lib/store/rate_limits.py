"""How often somebody has tried something in the last minute: one row for each limit and whom it is for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import text

from lib.db.session import Connection

WINDOW: Final = 60
"""Seconds in which attempts are counted together, from the first of them on."""
BATCH: Final = 5000
"""Rows that one statement of `purge` deletes."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An attempt, counted for one subject.

    Attributes:
        name: what is limited, such as `login`.
        kind: what the subject is: a client's `address`, the `account` that is named, or a signed-in `user`.
        subject: who, in one spelling, and nothing that may not be read in the table.
        limit: attempts that a window allows.
    """

    name: str
    kind: Literal["address", "account", "user"]
    subject: str
    limit: int

    @property
    def key(self) -> str:
        """What the row is called."""
        return f"{self.name}:{self.kind}:{self.subject}"


@dataclass(frozen=True, slots=True)
class Taken:
    """What was counted: the attempts of this window so far, this one too, and the seconds until the window ends."""

    hit: Hit
    attempts: int
    seconds_left: int

    @property
    def within(self) -> bool:
        """Whether the limit allows this attempt."""
        return self.attempts <= self.hit.limit


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


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

COUNT: Final = f"""
    ON CONFLICT (key) DO UPDATE SET
        hits = CASE WHEN kept.began_at <= now() - interval '{WINDOW} seconds' THEN 1 ELSE kept.hits + 1 END,
        began_at = CASE WHEN kept.began_at <= now() - interval '{WINDOW} seconds' THEN now() ELSE kept.began_at END
    RETURNING key, hits, CAST(greatest(1, ceil({WINDOW} - extract(epoch FROM now() - began_at))) AS integer)
        AS seconds_left
"""
"""What ends an `INSERT INTO rate_limits AS kept (key, hits)` of first attempts."""

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
