"""Every bar at once, in one table and in `bench/results.json`.

    make bench [ONLY=streams,memory,turn,growth,cold] [ROUNDS=5]

ROUNDS is of the streams and the turn. The exit status is 0 when every bar is met.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
from rich.console import Console
from rich.table import Table

from bench import cold, growth, litellm, memory, streams, turn
from bench.bars import Bar
from bench.lineup import LITELLM

RESULTS: Final = Path(__file__).parent / "results.json"
PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "starlette", "fastapi", "aiohttp", "httpx", "openai", "sqlalchemy")

Part = Callable[[], tuple[Sequence[Bar], Sequence[streams.Row]]]


def _streams() -> tuple[Sequence[Bar], Sequence[streams.Row]]:
    rows = streams.measure()
    return streams.bars(rows), rows


def _bars_of(measure: Callable[[], Sequence[Bar]]) -> Part:
    return lambda: (measure(), ())


PARTS: Final[Mapping[str, Part]] = {
    "streams": _streams,
    "memory": _bars_of(memory.measure),
    "turn": _bars_of(turn.measure),
    "growth": _bars_of(lambda: growth.measure(rounds=60)),
    "cold": _bars_of(lambda: cold.measure(rounds=7)),
}


def main() -> int:
    """Measure the parts that are wanted, print the table, write the results, and return 0 when every bar is met."""
    names = [name for name in os.environ.get("ONLY", "").split(",") if name] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        sys.exit(f"There is no part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}.")
    bars: list[Bar] = []
    rows: list[streams.Row] = []
    progress = Console(stderr=True)
    for name in names:
        progress.print(f"measuring: {name}")
        began = time.monotonic()
        met, seen = PARTS[name]()
        bars += met
        rows += seen
        progress.print(f"measured: {name}, in {time.monotonic() - began:.0f} s")
    Console(width=120).print(table(bars, rows))
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results(names, bars, rows)), indent=2) + b"\n")
    return 0 if all(bar.met for bar in bars) else 1


def table(bars: Sequence[Bar], rows: Sequence[streams.Row]) -> Table:
    """Return the bars beside the figures; below them, without a bar, what the others need for a token."""
    table = Table("", "figure", "bar", "", title="Parley's bars")
    for bar in bars:
        figure = f"{bar.value:.2f} {bar.unit}".rstrip()
        table.add_row(bar.name, figure, bar.asked, "met" if bar.met else "MISSED")
    at_fifty = [row for row in rows if row.at_once == 50 and row.per_cpu]
    if at_fifty:
        table.add_section()
    for row in sorted(at_fifty, key=lambda row: -(row.per_cpu or 0)):
        table.add_row(f"tokens/CPU-s, 50 streams: {row.relay}", f"{row.per_cpu:,.0f}", "", "")
    if at_fifty and all(row.relay != LITELLM for row in rows):
        table.add_row(f"{LITELLM}: could not be installed here", "", "", "")
    return table


def results(names: Sequence[str], bars: Sequence[Bar], rows: Sequence[streams.Row]) -> dict[str, Any]:
    """Return what is kept: the bars, every relay's figures, and what they were measured with."""
    return {
        "bars": [{"name": bar.name, "value": round(bar.value, 4), "bar": bar.bar, "met": bar.met} for bar in bars],
        "figures": rows,
        "parts": names,
        "rounds": streams.ROUNDS,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "processors": len(os.sched_getaffinity(0)),
        "packages": {name: version(name) for name in PACKAGES} | {"litellm": litellm.VERSION},
    }


if __name__ == "__main__":
    sys.exit(main())
