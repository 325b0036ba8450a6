"""What a Prometheus reads: the turns of today, how what we depend on is, and the instance that answers.

The turns are counters that begin at midnight in UTC, counted in the database: every instance tells the same, a scrape
reads the rows of one day at most, and to Prometheus midnight is a restart, which `rate` and `increase` understand.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM, Reach
from lib.errors import DatabaseBusy, DatabaseUnavailable, ReportTooLong
from lib.health.about import about
from lib.health.checks import Checks, read_all
from lib.health.probe import Dependency, Reading
from lib.spool import Spool
from lib.spool.record import Count
from lib.spool.room import Standing
from lib.store.turn_counts import EDGES, TurnCounts, TurnGroup, today

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_log = logging.getLogger("parley.health")


async def exposition(database: Database, checks: Checks, spool: Spool | None, reach: Reach) -> bytes:
    """Return the metrics in Prometheus's text format. What cannot be found out now is left out.

    What waits in the spool is of all teams, and told with the deployment's own numbers alone.

    Raises:
        Forbidden: whoever asks is no administrator any more.
        DatabaseUnavailable: whether they still are cannot be asked; `ReportTooLong` likewise.
    """
    spool = spool if reach is EVERY_TEAM else None
    readings, standing = await asyncio.gather(read_all(checks.thorough), _standing(spool))
    counts = None
    try:
        if readings["database"].status == "down":
            raise DatabaseUnavailable
        async with database.one_report(reach) as connection:
            counts = await today(connection)
    except (DatabaseUnavailable, DatabaseBusy, ReportTooLong) as error:
        if reach is not EVERY_TEAM:
            raise
        _log.warning("metrics without turns: %s", error.code)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(readings, counts, spool, standing))
    return generate_latest(registry)


async def _standing(spool: Spool | None) -> Standing | None:
    return await spool.standing() if spool else None


@dataclass(frozen=True, eq=False)  # a registry keeps its collectors by identity
class _Told(Collector):
    readings: Mapping[Dependency, Reading]
    counts: TurnCounts | None
    spool: Spool | None
    standing: Standing | None

    def collect(self) -> Iterator[Metric]:
        yield from _dependencies(self.readings)
        yield from _instance()
        if self.spool is not None:
            yield from _spool(self.spool, self.standing)
        yield GaugeMetricFamily(
            "parley_turns_counted", "Whether the turns below could be counted for this scrape.", self.counts is not None
        )
        if self.counts is not None:
            yield GaugeMetricFamily(
                "parley_messages_streaming",
                "Answers being written now, or left unfinished by a killed function.",
                self.counts.streaming,
            )
            yield from _turns(self.counts.groups)


def _dependencies(readings: Mapping[Dependency, Reading]) -> Iterator[Metric]:
    up = GaugeMetricFamily("parley_dependency_up", "1 unless it is down.", labels=["dependency"])
    degraded = GaugeMetricFamily(
        "parley_dependency_degraded", "1 when it works, but slowly or in part.", labels=["dependency"]
    )
    latency = GaugeMetricFamily(
        "parley_dependency_latency_seconds", "How long the last look at it took.", labels=["dependency"]
    )
    for name, reading in _named_parts(readings):
        up.add_metric([name], reading.status != "down")
        degraded.add_metric([name], reading.status == "degraded")
        if reading.latency_ms is not None:
            latency.add_metric([name], reading.latency_ms / 1000)
    yield from (up, degraded, latency)


def _named_parts(readings: Mapping[Dependency, Reading]) -> Iterator[tuple[str, Reading]]:
    """Yield each reading and what it is made of (`inference/openai`), where there is something to ask."""
    for name, reading in readings.items():
        if reading.configured:
            yield name, reading
            yield from ((f"{name}/{part}", of_part) for part, of_part in reading.parts.items())


def _instance() -> Iterator[Metric]:
    """Yield what is true of this process alone: gauges, since the next scrape may be answered by another."""
    running, process = about(), psutil.Process()
    labels = {"version": running.version, "platform": running.platform, "region": running.region or ""}
    instance = GaugeMetricFamily("parley_instance", "1, and what answered this scrape.", labels=list(labels))
    instance.add_metric(list(labels.values()), 1)
    yield instance
    yield GaugeMetricFamily("parley_instance_uptime_seconds", "Age of what answered.", running.uptime_seconds)
    yield GaugeMetricFamily("parley_instance_memory_bytes", "Resident memory of it.", process.memory_info().rss)
    used = process.cpu_times()
    yield GaugeMetricFamily("parley_instance_cpu_seconds", "Processor time it has used.", used.user + used.system)


def _spool(spool: Spool, standing: Standing | None) -> Iterator[Metric]:
    limits = {"records": spool.room.max_records, "bytes": spool.room.max_bytes}
    for unit, limit in limits.items():
        yield GaugeMetricFamily(f"parley_spool_limit_{unit}", "What may wait in the spool, with what is aside.", limit)
    if standing is not None:
        records = {"waiting": standing.waiting, "aside": standing.aside}
        used = {"waiting": standing.waiting_bytes, "aside": standing.aside_bytes}
        yield _gauge("parley_spool_records", "Turns that wait for the database, or were set aside.", "state", records)
        yield _gauge("parley_spool_bytes", "Bytes that they take.", "state", used)
    counted = {became: spool.counts[became] for became in get_args(Count)}
    yield _gauge(
        "parley_instance_spool_turns", "Turns at the spool of what answered, since it began.", "event", counted
    )


def _gauge(name: str, says: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, says, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _turns(groups: Sequence[TurnGroup]) -> Iterator[Metric]:
    turns, tokens, errors = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for group in groups:
        turns[group.model, group.outcome] += group.turns
        tokens[group.model, "input"] += group.input_tokens
        tokens[group.model, "output"] += group.output_tokens
        if group.error_code:
            errors[group.model, group.error_code] += group.turns
    since = "since midnight in UTC"
    yield _counter("parley_turns", f"Turns {since}.", "outcome", turns)
    yield _counter("parley_tokens", f"Tokens of turns {since}, as their providers counted them.", "direction", tokens)
    yield _counter("parley_turn_errors", f"Turns {since} that ended in an error, by its code.", "code", errors)
    yield _histogram(
        "parley_first_token_seconds",
        f"From the start of a turn to its first token, {since}.",
        [(group.model, group.first_tokens_within, group.first_tokens, group.first_token_ms) for group in groups],
    )
    yield _histogram(
        "parley_turn_seconds",
        f"Turns that were completed {since}.",
        [
            (group.model, group.turns_within, group.turns, group.total_ms)
            for group in groups
            if group.outcome == "complete"
        ],
    )


def _counter(name: str, says: str, label: str, values: Mapping[tuple[str, str], int]) -> Metric:
    family = CounterMetricFamily(name, says, labels=["model", label])
    for labels, value in sorted(values.items()):
        family.add_metric(list(labels), value)
    return family


def _histogram(name: str, says: str, timed: Sequence[tuple[str, Sequence[int], int, int]]) -> Metric:
    """Return a histogram of these: model, how many within each edge, how many in all, and their milliseconds."""
    family = HistogramMetricFamily(name, says, labels=["model"])
    edges = [*(str(edge / 1000) for edge in EDGES), "+Inf"]
    for model in sorted({model for model, *_ in timed}):
        counts = [(*within, count) for of, within, count, _ in timed if of == model]
        spent = sum(milliseconds for of, _, _, milliseconds in timed if of == model)
        upto = [sum(column) for column in zip(*counts, strict=True)]
        family.add_metric([model], list(zip(edges, upto, strict=True)), spent / 1000)
    return family
