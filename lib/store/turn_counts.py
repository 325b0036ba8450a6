"""The turns of today, as counters: what a Prometheus reads."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from lib.db.scope import IN_SCOPE, SCOPE, Scope
from lib.db.session import Connection
from lib.errors import Forbidden

EDGES: Final = (100, 250, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000)
"""Milliseconds: the upper edges of the buckets in which times are counted, each inclusive."""


@dataclass(frozen=True, slots=True)
class TurnGroup:
    """Turns of today that are alike.

    `first_token_bucket` and `total_bucket` are the index in `EDGES` of the edge that their times do not exceed,
    `len(EDGES)` beyond the last one, and None for a turn without such a time.
    """

    model: str | None
    outcome: str
    error_code: str | None
    first_token_bucket: int | None
    total_bucket: int | None
    turns: int
    first_token_ms: int
    total_ms: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class TurnCounts:
    """The turns since midnight in UTC, and the answers that are being written."""

    groups: tuple[TurnGroup, ...]
    streaming: int


async def today(connection: Connection, scope: Scope) -> TurnCounts:
    """Count the turns of today.

    Raises:
        Forbidden: whoever asks is no administrator any more.
    """
    rows = (await connection.execute(_TODAY, scope.parameters | {"edges": list(EDGES)})).all()
    if rows[0].teams == 0:
        raise Forbidden
    groups = tuple(TurnGroup(*row[2:]) for row in rows if row.turns is not None)
    return TurnCounts(groups, rows[0].streaming)


# Constants are joined into this; values only ever go in as parameters. A time is a whole number of milliseconds, so one
# less than it makes the edges inclusive, which `width_bucket` has exclusive.
_TODAY = text(f"""
    WITH {SCOPE}, turn AS (
        SELECT model, outcome, error_code,
            width_bucket(first_token_ms - 1, CAST(:edges AS integer[])) AS first_token_bucket,
            width_bucket(total_ms - 1, CAST(:edges AS integer[])) AS total_bucket,
            count(*) AS turns,
            coalesce(sum(first_token_ms), 0) AS first_token_ms, coalesce(sum(total_ms), 0) AS total_ms,
            coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens
        FROM interaction_logs
        WHERE {IN_SCOPE} AND total_ms IS NOT NULL
            AND created_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        GROUP BY 1, 2, 3, 4, 5
    ), told AS (
        SELECT (SELECT count(*) FROM scope) AS teams,
            (SELECT count(*) FROM messages WHERE {IN_SCOPE} AND status = 'streaming') AS streaming
    )
    SELECT told.*, turn.* FROM told LEFT JOIN turn ON true
""")  # noqa: S608
