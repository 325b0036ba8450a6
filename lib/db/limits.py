"""Attempts that count towards a limit, and how any statement counts one.

A statement that does what is limited counts its own attempt: one round trip, and nothing done beyond the limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from lib.errors import RateLimited

WINDOW: Final = 60
"""Seconds in which attempts are counted together, from the first of them on."""


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


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of the limit that is nearest: `remaining` of `limit` attempts in the next `seconds`."""

    limit: int
    remaining: int
    seconds: int


def judge(taken: Sequence[Taken]) -> Allowance:
    """Return what is left of the limit that is nearest.

    Raises:
        RateLimited: one of them is exceeded.
    """
    beyond = [each for each in taken if not each.within]
    if beyond:
        longest = max(beyond, key=lambda each: each.seconds_left)
        raise RateLimited(limit=longest.hit.limit, retry_after=longest.seconds_left)
    nearest = min(taken, key=lambda each: each.hit.limit - each.attempts)
    return Allowance(nearest.hit.limit, nearest.hit.limit - nearest.attempts, nearest.seconds_left)


def hit_parameters(hit: Hit | None) -> dict[str, Any]:
    """Return what `HIT` and `WITHIN` take; without a hit nothing is counted, and everything is within."""
    return {"hit_key": hit and hit.key, "hit_limit": hit.limit if hit else 0}


COUNT: Final = f"""
    ON CONFLICT (key) DO UPDATE SET
        hits = CASE WHEN kept.began_at <= now() - interval '{WINDOW} seconds' THEN 1 ELSE kept.hits + 1 END,
        began_at = CASE WHEN kept.began_at <= now() - interval '{WINDOW} seconds' THEN now() ELSE kept.began_at END
    RETURNING key, hits, CAST(greatest(1, ceil({WINDOW} - extract(epoch FROM now() - began_at))) AS integer)
        AS seconds_left
"""
"""What ends an `INSERT INTO rate_limits AS kept (key, hits)` of first attempts."""

HIT: Final = f"""
    hit AS (
        INSERT INTO rate_limits AS kept (key, hits)
        SELECT CAST(:hit_key AS text), 1 FROM teams WHERE id = :team_id AND CAST(:hit_key AS text) IS NOT NULL {COUNT}
    )
"""  # noqa: S608 - a constant of ours; values are parameters
"""A `WITH` item that counts an attempt in a tenant's statement, where the wall lets anything through."""

WITHIN: Final = "NOT EXISTS (SELECT FROM hit WHERE hits > :hit_limit)"
"""Whether `HIT` is within its limit."""
