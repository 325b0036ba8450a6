"""What everybody else waits while people sign in: `/health/` with 20 log-ins in flight, and without.

    make bench-logins

Postgres is real, the server one process as an instance is. A password's hash is a quarter of a second of CPU by intent;
it must not be anybody else's.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
from rich.console import Console
from rich.table import Table

from bench.server import serving
from local.postgres import postgres
from scripts.init_db import upgrade

LOGINS: Final = 20
BAR: Final = 50.0
"""Milliseconds: the 95th percentile of `/health/` while they are in flight."""
PASSWORD: Final = "a password of the benchmark"  # noqa: S105


def main() -> int:
    """Measure, print the table, and return 0 when the bar is met."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # root's Postgres runs as somebody else
        with postgres(Path(folder) / "postgres", fsync="off") as url:
            upgrade(url)
            quiet, busy, logins = asyncio.run(_measure(folder, url))
    table = Table("", "answers", "median ms", "p95 ms", "slowest ms", title=f"/health/ beside {LOGINS} log-ins")
    for name, times in (("without", quiet), ("with", busy)):
        table.add_row(name, str(len(times)), *(f"{value:.1f}" for value in (median(times), _p95(times), max(times))))
    console = Console()
    console.print(table)
    console.print(f"{LOGINS} log-ins took {logins:.1f} s; the bar for p95 is {BAR:.0f} ms")
    return 0 if _p95(busy) < BAR else 1


async def _measure(folder: str, url: str) -> tuple[list[float], list[float], float]:
    """Return the milliseconds of `/health/` without log-ins and with them, and the seconds that those took."""
    account = {"email": "ada@example.com", "password": PASSWORD}
    async with serving(folder, url) as at, httpx.AsyncClient(base_url=at, timeout=60) as client:
        (await client.post("/auth/register", json=account)).raise_for_status()
        # The first log-in of an instance loads what signs, which bench/cold.py measures.
        (await client.post("/auth/login", json=account)).raise_for_status()
        quiet = await _ask_while(client, asyncio.create_task(asyncio.sleep(2)))
        began = time.perf_counter()
        signing_in = asyncio.gather(*(client.post("/auth/login", json=account) for _ in range(LOGINS)))
        await asyncio.sleep(0.5)  # sending 20 requests at once is work of this process, not of the server
        busy = await _ask_while(client, signing_in)
        for answer in await signing_in:
            answer.raise_for_status()
        return quiet, busy, time.perf_counter() - began


async def _ask_while(client: httpx.AsyncClient, under_way: asyncio.Future[Any]) -> list[float]:
    times: list[float] = []
    while not under_way.done():
        began = time.perf_counter()
        (await client.get("/health/")).raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.01)
    return times


def _p95(times: list[float]) -> float:
    return quantiles(times, n=20)[-1]


if __name__ == "__main__":
    sys.exit(main())
