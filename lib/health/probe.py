"""A look at one thing that Parley depends on: real, bounded in time, and shared by all who ask at once."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Literal

Status = Literal["ok", "degraded", "down"]
Dependency = Literal["database", "storage", "inference", "retrieval"]

LIMIT: Final = 2.0
"""Seconds that a probe may take."""
INFERENCE_LIMIT: Final = 3.0
"""Seconds that the one of the models' providers may take, who are far away."""
FRESH: Final = 5.0
"""Seconds that an instance gives a reading to whoever asks it next. Another instance asks for itself, and a platform
starts as many as it has requests, so what anybody may ask must cost nothing."""
BROKEN: Final = "The check itself failed."

_log = logging.getLogger("parley.health")


@dataclass(frozen=True, slots=True)
class Reading:
    """How something is.

    Attributes:
        status: ok; degraded, which works, but slowly or in part; or down.
        latency_ms: how long it took to find out; None where nothing was asked.
        detail: what is wrong, in a sentence for the operator that holds no address, key or path.
        configured: whether there is anything to ask.
        checked_at: when it was asked.
        parts: the readings it is made of, by name.
    """

    status: Status
    latency_ms: float | None = None
    detail: str | None = None
    configured: bool = True
    checked_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    parts: Mapping[str, "Reading"] = field(default_factory=dict[str, "Reading"])


def not_configured(detail: str) -> Reading:
    """Return the reading of something that this deployment does not have."""
    return Reading("down", detail=detail, configured=False)


def joined(parts: Mapping[str, Reading], status: Status) -> Reading:
    """Return the reading of something made of `parts`: as slow as the slowest, with what each has to say."""
    slowest = max(reading.latency_ms or 0.0 for reading in parts.values())
    told = " ".join(f"{name}: {reading.detail}" for name, reading in parts.items() if reading.detail)
    return Reading(status, slowest, told or None, parts=parts)


class Unwell(Exception):
    """What was asked is down. The message says why, as `Reading.detail` does."""


async def timed(ask: Callable[[], Awaitable[Reading | None]], *, slow: float) -> Reading:
    """Ask, and return what came of it with the time it took.

    Args:
        ask: returns nothing when all is well, or a reading of its own; raises `Unwell`.
        slow: seconds from which on an answer that is fine counts as degraded.
    """
    began, checked_at = time.perf_counter(), datetime.now(UTC)
    try:
        reading = await ask() or Reading("ok")
    except Unwell as error:
        reading = Reading("down", detail=str(error))
    except Exception as error:  # whatever it is, it is an answer to the question how things are
        _log.exception("a probe failed: %s", type(error).__name__)
        reading = Reading("down", detail=BROKEN)
    if not reading.configured:
        return reading
    took = time.perf_counter() - began
    if reading.status == "ok" and took > slow:
        reading = replace(reading, status="degraded", detail=f"It works, and took more than {slow:g} s.")
    return replace(reading, latency_ms=round(took * 1000, 1), checked_at=checked_at)


class Probe:
    """Asks once for all who want to know at the same time, and for those who come shortly after.

    It never cancels what it asks: that gives up by itself, and until it has, nothing more is asked. Only one that began
    longer ago than a reading holds is left to itself: on a platform that freezes an instance between two requests it
    was frozen too, and what it finds when it wakes is that its time is over. For the same reason a reading that took
    longer than its limit tells those who wait for it, and is not kept.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Reading]],
        *,
        limit: float,
        fresh: float = FRESH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nothing yet.

        Args:
            read: finds out; it never raises, and gives up by itself.
            limit: seconds after which somebody who waits is told that there is no answer.
            fresh: seconds that a reading holds.
            clock: tells the time in seconds.
        """
        self._read = read
        self._limit = limit
        self._fresh = fresh
        self._clock = clock
        self._latest: _Look | None = None
        self._under_way: set[asyncio.Task[tuple[Reading, float]]] = set()

    async def read(self) -> Reading:
        """Return how it is, as known for `fresh` seconds, found out in `limit` seconds at most."""
        look = self._latest
        if look is None or self._is_over(look):
            look = self._latest = self._begun()
        await asyncio.wait({look.task}, timeout=self._limit)
        if look.task.done():
            reading, _ = look.task.result()
            return reading
        return Reading("down", round(self._limit * 1000, 1), f"There was no answer within {self._limit:g} s.")

    def _is_over(self, look: "_Look") -> bool:
        if look.task.done():
            _, stale_at = look.task.result()
            return self._clock() >= stale_at
        return self._clock() - look.began > self._limit + self._fresh

    def _begun(self) -> "_Look":
        began = self._clock()
        task = asyncio.create_task(self._ask(began))
        self._under_way.add(task)  # the loop itself would let go of one that nobody waits for
        task.add_done_callback(self._under_way.discard)
        return _Look(task, began)

    async def _ask(self, began: float) -> tuple[Reading, float]:
        """Return the reading, and when it is stale."""
        reading = await self._read()
        now = self._clock()
        return reading, now + self._fresh if now - began <= self._limit else now


@dataclass(frozen=True, slots=True)
class _Look:
    """A question under way or answered, and when it was put."""

    task: asyncio.Task[tuple[Reading, float]]
    began: float
