"""The turns of today, as counters: what a Prometheus reads."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from lib.db.session import Connection
from lib.db.tenant import IN_REACH

EDGES: Final = (100, 250, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000)
"""Milliseconds: times are counted up to each of them, inclusive."""
MOST_MODELS: Final = 20
"""Models that are told apart: the first of the day. Those with most turns would change in the course of it, and what
was counted under one name would be counted under another, so that both counters jump."""


@dataclass(frozen=True, slots=True)
class TurnGroup:
    """Turns of today that are alike.

    `model` is `none` where no model was asked, and `other` for all after the first `MOST_MODELS` of the day.
    `first_tokens_within` and `turns_within` count, for each of `EDGES`, those that took no longer to their first token
    and to their end. `first_tokens` counts the turns that had a first token at all. Times are sums in milliseconds.
    """

    model: str
    outcome: str
    error_code: str | None
    turns: int
    first_tokens: int
    first_token_ms: int
    total_ms: int
    input_tokens: int
    output_tokens: int
    first_tokens_within: tuple[int, ...]
    turns_within: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TurnCounts:
    """The turns since midnight in UTC, and the answers that are being written."""

    groups: tuple[TurnGroup, ...]
    streaming: int


async def today(connection: Connection) -> TurnCounts:
    """Count the turns of today, of all teams in reach."""
    rows = (await connection.execute(_TODAY)).all()
    groups = tuple(TurnGroup(*row[1:]) for row in rows if row.turns is not None)
    return TurnCounts(groups, rows[0].streaming)


def _within(column: str) -> str:
    return ", ".join(f"count(*) FILTER (WHERE {column} <= {edge})" for edge in EDGES)


# Constants are joined into this; values only ever go in as parameters. Counting by edge, rather than by a bucket to
# group by, leaves few groups, and Postgres knows that they are few.
_TODAY = text(f"""
    WITH turn AS (
        SELECT coalesce(model, 'none') AS asked, min(created_at) AS first_at, outcome, error_code,
            count(*) AS turns, count(first_token_ms) AS first_tokens,
            coalesce(sum(first_token_ms), 0) AS first_token_ms, coalesce(sum(total_ms), 0) AS total_ms,
            coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
            ARRAY[{_within("first_token_ms")}] AS first_tokens_within, ARRAY[{_within("total_ms")}] AS turns_within
        FROM interaction_logs
        WHERE {IN_REACH} AND total_ms IS NOT NULL
            AND created_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        GROUP BY asked, outcome, error_code
    ), named AS (
        SELECT asked AS model FROM turn GROUP BY asked ORDER BY min(first_at), asked LIMIT {MOST_MODELS}
    ), told AS (
        SELECT (SELECT count(*) FROM messages WHERE {IN_REACH} AND status = 'streaming') AS streaming
    )
    SELECT told.*, coalesce(named.model, 'other') AS model, outcome, error_code, turns,
        first_tokens, first_token_ms, total_ms, input_tokens, output_tokens, first_tokens_within, turns_within
    FROM told LEFT JOIN turn ON true LEFT JOIN named ON named.model = turn.asked
""")  # noqa: S608
