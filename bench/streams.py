"""What a streamed token costs: Parley's whole turn beside relays that only pass bytes on, and the model alone.

    make bench ONLY=streams ROUNDS=5

Every relay is one process on a core of its own; the model (`bench/model.py`), the load (`bench/load.py`) and Postgres
share the other. All run on the same Python, uvloop and httptools (aiohttp's server has a parser of its own). Each round
takes every relay in turn with 1, 10, 50 and 200 streams at once; the median of the rounds counts.

Parley's turn is the deployed function's: each stream is somebody else who is signed in, in a conversation of 20
messages; the turn reads them, keeps question and answer, logs and counts what it limits. Off are what no relay has and
no turn needs: search, and naming conversations.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
from rich.console import Console
from rich.table import Table

from bench.askers import QUESTION, SECRET, askers
from bench.bars import Bar
from bench.load import Asked, Figures, Request
from bench.model import CHUNKS, PACE
from bench.processes import free_port, pinned
from local.child import ROOT, running
from local.postgres import postgres
from scripts.init_db import upgrade

ROUNDS: Final = int(os.environ.get("ROUNDS", "5"))
AT_ONCE: Final = tuple(map(int, os.environ.get("STREAMS", "1,10,50,200").split(",")))
"""Streams at once."""
MOST: Final = 200
SECONDS: Final = 2.0
"""How long is counted each time: two answers' length."""
LOAD_CORE, RELAY_CORE = sorted(os.sched_getaffinity(0))[:2]

DIRECT: Final = "the model itself"
HTTPX: Final = "httpx byte relay"
AIOHTTP: Final = "aiohttp byte relay"
STARLETTE: Final = "Starlette + aiohttp byte relay"
PARLEY: Final = "Parley"


@dataclass(frozen=True)
class Relay:
    """Who is asked.

    Attributes:
        url: where.
        process: its id; None for the model itself.
        requests: one for each of the most streams.
        end: what an answer's last bytes hold.
        repeats: how many tokens its end says again.
        at_once: with how many streams it is measured.
    """

    name: str
    url: str
    process: int | None
    requests: Sequence[Request]
    end: bytes
    repeats: int = 0
    at_once: Sequence[int] = AT_ONCE


def ask(relay: Relay, at_once: int, *, watch: Sequence[int] = ()) -> Figures:
    """Ask a relay with so many streams at once, and return what was seen."""
    asked = Asked(
        url=relay.url,
        requests=list(relay.requests[:at_once]),
        tokens=CHUNKS,
        end=relay.end,
        repeats=relay.repeats,
        spread=CHUNKS * PACE / 1000 * (1 - 1 / at_once),
        seconds=SECONDS,
        watch=[relay.process or os.getpid(), *watch],
    )
    command = [sys.executable, "-m", "bench.load"]
    done = subprocess.run(command, input=msgspec.json.encode(asked), stdout=subprocess.PIPE, cwd=ROOT, check=True)
    return msgspec.json.decode(done.stdout, type=Figures)


@contextmanager
def relays(folder: Path, database_url: str, model: str) -> Generator[list[Relay]]:
    """Start every relay, and yield them, the model itself first."""
    body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    plain = [Request("/v1/chat/completions", json.dumps(body).encode())] * MOST
    with ExitStack() as stack:

        def start(name: str, module: str, *arguments: str, **environment: str) -> Relay:
            port = free_port()
            at = [*arguments, "--port", str(port)] if module == "uvicorn" else [str(port)]
            url, process = stack.enter_context(
                pinned(module, *at, core=RELAY_CORE, folder=folder, port=port, UPSTREAM=model, **environment)
            )
            return Relay(name, url, process, plain, b"data: [DONE]")

        def served(name: str, app: str, **environment: str) -> Relay:
            return start(name, "uvicorn", app, "--loop", "uvloop", "--http", "httptools", **environment)

        parley = served(PARLEY, "api.chat.stream:app", **_parley(folder, database_url), OPENAI_BASE_URL=f"{model}/v1")
        asking = asyncio.run(askers(database_url, MOST))
        yield [
            Relay(DIRECT, model, None, plain, b"data: [DONE]"),
            served(HTTPX, "bench.relays.httpx_relay:app"),
            start(AIOHTTP, "bench.relays.aiohttp_relay"),
            served(STARLETTE, "bench.relays.starlette_relay:app"),
            replace(parley, requests=asking, end=b'"saved":true', repeats=CHUNKS),
        ]


def _parley(folder: Path, database_url: str) -> Mapping[str, str]:
    """Return the environment of a deployed function, with a spool, and everything else as it is by default."""
    return {
        "ENVIRONMENT": "production",
        "DATABASE_URL": database_url,
        "OPENAI_API_KEY": SECRET,
        "JWT_SECRET_KEY": SECRET,
        "ALLOWED_ORIGINS": "https://chat.example.com",
        "RATE_LIMITS": "chat=1000000",  # counted as ever, and never reached
        "SPOOL_URL": str(folder / "spool"),
        "TITLE_MODEL": "off",
    }


Seen = dict[tuple[str, int], list[Figures]]


def rounds(among: Sequence[Relay], *, watch: Sequence[int] = ()) -> Seen:
    """Measure all rounds and return what was seen."""
    seen: Seen = {}
    for relay in among:
        ask(relay, 10)  # the first are a process's first
    for number in range(ROUNDS):
        for at_once in AT_ONCE:
            for relay in among if number % 2 == 0 else reversed(among):
                if at_once in relay.at_once:
                    seen.setdefault((relay.name, at_once), []).append(ask(relay, at_once, watch=watch))
    return seen


def per_cpu(figures: Sequence[Figures]) -> float:
    """Return the tokens for a second of the relay's processor time."""
    return median(figure.tokens / figure.cpu[0] for figure in figures)


def per_second(figures: Sequence[Figures]) -> float:
    """Return the tokens a second."""
    return median(figure.tokens / figure.seconds for figure in figures)


def first(figures: Sequence[Figures]) -> list[float]:
    """Return the milliseconds to the first token of every answer, in order."""
    return sorted(ms for figure in figures for ms in figure.first)


def bars(seen: Seen) -> list[Bar]:
    """Return the bars of whatever was measured."""
    found: list[Bar] = []
    for at_once in AT_ONCE:
        direct, parley = seen[DIRECT, at_once], seen[PARLEY, at_once]
        for name, least in ((HTTPX, {10: 1.6, 50: 1.6}), (AIOHTTP, {1: 0.75, 10: 0.75, 50: 0.75, 200: 0.5})):
            if at_once in least:
                ratio = per_cpu(parley) / per_cpu(seen[name, at_once])
                found.append(Bar(f"tokens/CPU-s against the {name}, {at_once}", ratio, least[at_once], at_least=True))
        if at_once in (least := {50: 0.95, 200: 0.65}):
            ratio = per_second(parley) / per_second(direct)
            found.append(Bar(f"tokens/s against {DIRECT}, {at_once}", ratio, least[at_once], at_least=True))
        if at_once in (most := {1: 4.0, 50: 15.0}):
            added = median(first(parley)) - median(first(direct))
            found.append(Bar(f"first token over {DIRECT}, {at_once}", added, most[at_once], unit="ms"))
    return found


def table(seen: Seen) -> Table:
    """Return what was seen as a table."""
    shown = Table("", "streams", "tokens/s", "tokens/CPU-s", "first ms", "p95 ms", "answers", "wrong")
    for (name, at_once), figures in seen.items():
        wrong = sum((Counter(figure.errors) for figure in figures), Counter[str]())
        times = first(figures)
        shown.add_row(
            name,
            str(at_once),
            f"{per_second(figures):,.0f}",
            "" if name == DIRECT else f"{per_cpu(figures):,.0f}",
            f"{median(times):.2f}",
            f"{times[int(len(times) * 0.95)]:.2f}",
            str(sum(figure.answers for figure in figures)),
            ", ".join(f"{count} {what}" for what, count in wrong.items()),
        )
    return shown


def main() -> int:
    """Measure and print."""
    os.sched_setaffinity(0, {LOAD_CORE})  # and with it the model, the load and Postgres
    with tempfile.TemporaryDirectory(prefix="parley-bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # root's Postgres runs as somebody else
        with postgres(folder / "postgres", fsync="off") as url, running("bench.model") as model:
            upgrade(url)
            with relays(folder, url, model) as among:
                seen = rounds(among)
    console, found = Console(width=120), bars(seen)
    console.print(table(seen))
    for bar in found:
        console.print(f"{bar.name}: {bar.value:.2f}, {bar.asked}, {'met' if bar.met else 'MISSED'}")
    return 0 if all(bar.met for bar in found) else 1


if __name__ == "__main__":
    sys.exit(main())
