"""What a streamed token costs: Parley's whole turn beside relays that only pass bytes on, and the model alone.

    make bench ONLY=streams [ROUNDS=5] [STREAMS=1,10,50,200]

Every relay is one process on a core of its own; the model (`bench/model.py`), the load (`bench/load.py`) and Postgres
share the other. All run on the same Python and asyncio's own loop; uvicorn parses with httptools (aiohttp's server has
a parser of its own; LiteLLM's packages are its own). Each round takes every relay in turn; the median of the
rounds counts.

Parley's turn is the deployed function's: each stream is somebody else who is signed in, in a conversation of 20
messages; the turn reads them, keeps question and answer, logs and counts what it limits. Off are what no relay has and
no turn needs: search, and naming conversations.
"""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table

from bench.bars import Bar
from bench.lineup import AIOHTTP, DIRECT, GEMINI, HTTPX, LOAD_CORE, PARLEY, WEBHOOK, Relay, ask, lineup
from bench.load import Figures
from local.child import running
from local.postgres import postgres
from scripts.init_db import upgrade

ROUNDS: Final = int(os.environ.get("ROUNDS", "5"))
AT_ONCE: Final = tuple(map(int, os.environ.get("STREAMS", "1,10,50,200").split(",")))
"""Streams at once."""

AGAINST_HTTPX: Final = {10: 1.6, 50: 1.6}
AGAINST_AIOHTTP: Final = {1: 0.75, 10: 0.75, 50: 0.75, 200: 0.5}
AGAINST_DIRECT: Final = {50: 0.95, 200: 0.65}
FIRST: Final = {1: 4.0, 50: 15.0}
"""Milliseconds."""
PATHS: Final = 1.3
"""How many times the processor time of the OpenAI path a token of another path may take."""


@dataclass(frozen=True)
class Row:
    """What was seen of a relay with so many streams at once, over all rounds.

    Attributes:
        relay: its name.
        at_once: streams.
        per_second: tokens a second.
        per_cpu: tokens for a second of the relay's processor time; None for the model itself.
        first: median milliseconds to the first token; None where none was asked for and seen.
        first_p95: the 95th percentile of the same.
        answers: how many ended.
        wrong: how often what went wrong.
        postgres: seconds of Postgres's processor time for one of the relay's.
    """

    relay: str
    at_once: int
    per_second: float
    per_cpu: float | None
    first: float | None
    first_p95: float | None
    answers: int
    wrong: Mapping[str, int]
    postgres: float

    @classmethod
    def of(cls, relay: str, at_once: int, figures: Sequence[Figures]) -> "Row":
        """Sum the rounds up, by their medians."""
        first = sorted(ms for figure in figures for ms in figure.first)
        direct = relay == DIRECT
        return cls(
            relay,
            at_once,
            median(figure.tokens / figure.seconds for figure in figures),
            None if direct else median(figure.tokens / figure.cpu[0] for figure in figures),
            median(first) if first else None,
            first[int(len(first) * 0.95)] if first else None,
            sum(figure.answers for figure in figures),
            sum((Counter(figure.errors) for figure in figures), Counter[str]()),
            0.0 if direct else median(figure.cpu[1] / figure.cpu[0] for figure in figures),
        )


def measure() -> list[Row]:
    """Measure every relay in every round."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOAD_CORE})  # and with it what it starts: the model, the load and Postgres
    try:
        with tempfile.TemporaryDirectory(prefix="parley-bench-", dir="/tmp") as name:
            folder = Path(name)
            folder.chmod(0o755)  # root's Postgres runs as somebody else
            with postgres(folder / "postgres", fsync="off") as url, running("bench.model") as model:
                upgrade(url)
                database = int((folder / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
                with lineup(folder, url, model) as among:
                    return _rounds(among, database)
    finally:
        os.sched_setaffinity(0, usual)


def _rounds(among: Sequence[Relay], database: int) -> list[Row]:
    seen: dict[tuple[str, int], list[Figures]] = {}
    for relay in among:
        ask(relay, 10, seconds=0.5)  # the first are a process's first
    for number in range(ROUNDS):
        for at_once in AT_ONCE:
            for relay in among if number % 2 == 0 else reversed(among):
                if at_once in relay.at_once and number < relay.rounds:
                    seen.setdefault((relay.name, at_once), []).append(ask(relay, at_once, watch=[database]))
    return [Row.of(*key, figures) for key, figures in seen.items()]


def bars(rows: Sequence[Row]) -> list[Bar]:
    """Return the bars of what was measured."""
    by = {(row.relay, row.at_once): row for row in rows}
    found: list[Bar] = []
    for at_once in AT_ONCE:
        streams = f"{at_once} stream{'s' if at_once > 1 else ''}"
        direct, parley = by[DIRECT, at_once], by[PARLEY, at_once]
        for name, least in ((HTTPX, AGAINST_HTTPX), (AIOHTTP, AGAINST_AIOHTTP)):
            if at_once in least:
                ratio = _cpu(parley) / _cpu(by[name, at_once])
                found.append(Bar(f"tokens/CPU-s against the {name}, {streams}", ratio, least[at_once], at_least=True))
        if at_once in AGAINST_DIRECT:
            ratio = parley.per_second / direct.per_second
            found.append(Bar(f"tokens/s against {DIRECT}, {streams}", ratio, AGAINST_DIRECT[at_once], at_least=True))
        if at_once in FIRST:
            added = (parley.first or float("inf")) - (direct.first or 0)
            found.append(Bar(f"first token over {DIRECT}, {streams}", added, FIRST[at_once], unit="ms"))
        found += [
            Bar(f"CPU a token of {name}, against {PARLEY}'s, {streams}", _cpu(parley) / _cpu(by[name, at_once]), PATHS)
            for name in (WEBHOOK, GEMINI)
            if (name, at_once) in by
        ]
    ours = (row for row in rows if row.relay in {PARLEY, WEBHOOK, GEMINI})
    found.append(Bar("answers of Parley's that went wrong", sum(sum(row.wrong.values()) for row in ours), 0))
    return found


def _cpu(row: Row) -> float:
    return row.per_cpu or float("nan")  # which meets no bar


def table(rows: Sequence[Row]) -> Table:
    """Return what was seen as a table, by number of streams."""
    columns = ("streams", "", "tokens/s", "tokens/CPU-s", "first ms", "p95 ms", "Postgres", "answers", "wrong")
    shown = Table(*columns, title=f"Medians of {ROUNDS} rounds")
    for row in sorted(rows, key=lambda row: row.at_once):
        shown.add_row(
            str(row.at_once),
            row.relay,
            f"{row.per_second:,.0f}",
            "" if row.per_cpu is None else f"{row.per_cpu:,.0f}",
            "" if row.first is None else f"{row.first:.2f}",
            "" if row.first_p95 is None else f"{row.first_p95:.2f}",
            f"{row.postgres:.2f}" if row.postgres > 0.01 else "",
            str(row.answers),
            ", ".join(f"{count} {what}" for what, count in row.wrong.items()),
        )
    return shown


def main() -> int:
    """Measure, print, and return 0 when every bar is met."""
    rows = measure()
    console, found = Console(width=120), bars(rows)
    console.print(table(rows))
    for bar in found:
        console.print(f"{bar.name}: {bar.value:.2f}, {bar.asked}, {'met' if bar.met else 'MISSED'}")
    return 0 if all(bar.met for bar in found) else 1


if __name__ == "__main__":
    sys.exit(main())
