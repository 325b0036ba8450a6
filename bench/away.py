"""What a missing database costs an answer, its first token with the breaker open against usual; and what a spool costs.

    make bench-away

Three servers of one process each, with the same model, `bench/upstream.py`: one with a real Postgres and a spool, one
without a spool, and one whose Postgres is nowhere. Their requests take turns, so that the ratios hold on a noisy
machine; the median counts. The few that look whether Postgres is back, one in ten seconds, are counted with the rest.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
from rich.console import Console
from rich.table import Table

from bench.server import serving
from bench.upstream import upstream
from local.postgres import postgres
from scripts.init_db import upgrade

ROUNDS: Final = int(os.environ.get("ROUNDS", "300"))
AWAY: Final = 1.1
"""How many times the usual first token's time that of an answer without a database may be."""
SPOOL: Final = 1.05
"""How many times the time of a turn without a spool that of one with a spool may be: what such ratios vary by."""
NOWHERE: Final = "postgresql://postgres@127.0.0.1:9/nowhere"
PASSWORD: Final = "a password of the benchmark"  # noqa: S105
FIRST: Final = "word0"
"""What the model's first token says."""


@dataclass
class Times:
    """The milliseconds of one server's answers."""

    first: list[float] = field(default_factory=list[float])
    whole: list[float] = field(default_factory=list[float])


def main() -> int:
    """Measure, print the table, and return 0 when every bar is met."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # root's Postgres runs as somebody else
        with postgres(Path(folder) / "postgres", fsync="off") as url:
            upgrade(url)
            usual, bare, away = asyncio.run(_measure(folder, url))
    return 0 if _print(usual, bare, away) else 1


async def _measure(folder: str, url: str) -> Sequence[Times]:
    """Return the times of a usual server, of one without a spool, and of one without a database."""
    ways = ((url, f"{folder}/waiting"), (url, "off"), (NOWHERE, f"{folder}/spool"))
    async with AsyncExitStack() as stack:
        environment = {
            "OPENAI_API_KEY": "key",
            "OPENAI_BASE_URL": await stack.enter_async_context(upstream()),
            "RETENTION_CONVERSATIONS": "0",
            "TITLE_MODEL": "off",
            "JWT_SECRET_KEY": "the key of the benchmark's three servers",
            "LOG_LEVEL": "ERROR",  # of a database that is away there are warnings
        }
        clients: list[httpx.AsyncClient] = []
        for database, spool in ways:
            at = await stack.enter_async_context(serving(folder, database, SPOOL_URL=spool, **environment))
            clients.append(await stack.enter_async_context(httpx.AsyncClient(base_url=at, timeout=60)))
        token = await _sign_in(clients[0])
        times = [Times() for _ in clients]
        for number in range(ROUNDS + 10):
            for client, kept in zip(clients, times, strict=True):
                first, whole = await _ask(client, token)
                if number >= 10:  # the first are an instance's first, and open the breaker
                    kept.first.append(first)
                    kept.whole.append(whole)
    return times


async def _sign_in(client: httpx.AsyncClient) -> str:
    new = {"email": "ada@example.com", "password": PASSWORD}
    (await client.post("/auth/register", json=new)).raise_for_status()
    return (await client.post("/auth/login", json=new)).raise_for_status().json()["access_token"]


async def _ask(client: httpx.AsyncClient, token: str) -> tuple[float, float]:
    """Return the milliseconds until an answer's first token, and until its end."""
    first: float | None = None
    began = time.perf_counter()
    asked = {"message": {"content": "What does Parley keep?"}}
    headers = {"Authorization": f"Bearer {token}"}
    async with client.stream("POST", "/api/v1/chat/stream", json=asked, headers=headers) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if first is None and FIRST in line:
                first = time.perf_counter() - began
    if first is None:
        raise RuntimeError("there was no answer")
    return first * 1000, (time.perf_counter() - began) * 1000


def _print(usual: Times, bare: Times, away: Times) -> bool:
    """Print the table, and return whether every bar is met."""
    rows = (
        ("first token, the database away against usual", usual.first, away.first, AWAY),
        ("first token, with a spool against none", bare.first, usual.first, SPOOL),
        ("whole turn, with a spool against none", bare.whole, usual.whole, SPOOL),
    )
    table = Table("", "against ms", "ms", "ratio", "bar", "", title=f"Medians of {ROUNDS}")
    met = True
    for name, before, after, bar in rows:
        ratio = median(after) / median(before)
        met = met and ratio <= bar
        numbers = (f"{median(before):.1f}", f"{median(after):.1f}", f"{ratio:.2f}", f"{bar:g}")
        table.add_row(name, *numbers, "met" if ratio <= bar else "MISSED")
    Console(width=120).print(table)
    return met


if __name__ == "__main__":
    sys.exit(main())
