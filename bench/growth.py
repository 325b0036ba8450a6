"""What a growing account costs: the same requests to one with little in it, and to one with much.

    make bench-growth

The one has 50 conversations of 4 messages. The other has 1,000, and 10,000 messages in the newest of them. Beside their
team there are 300 small ones. Postgres is real, the server one process, the model `bench/upstream.py`.
Requests of the two take turns, so that the ratios hold on a noisy machine; the median counts.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from bench.bars import Bar
from bench.seed import account, fill, team
from bench.server import serving
from bench.upstream import upstream
from local.postgres import postgres
from scripts.init_db import upgrade

ROUNDS: Final = int(os.environ.get("ROUNDS", "200"))
BAR: Final = 1.5
"""How many times the small account's time the large one's may be."""
OTHERS: Final = 300
"""Other teams, each with one account and little in it: what Postgres knows of teams is what most of them are."""
PASSWORD: Final = "a password of the benchmark"  # noqa: S105


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in; one of their conversations, and a message in its middle, or in its beginning."""

    client: httpx.AsyncClient
    conversation_id: UUID
    message_id: UUID


@dataclass(frozen=True, eq=False)
class Case:
    """A request, and whether what it costs may grow with the account: then it has no bar."""

    name: str
    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Mapping[str, Any] | None = None
    grows: bool = False

    async def ask(self, person: Person) -> float:
        """Make the request, and return the milliseconds until its answer was whole."""
        ids = {"conversation_id": str(person.conversation_id), "message_id": str(person.message_id)}
        query = {name: str(value).format_map(ids) for name, value in self.query.items()}
        body = dict(self.body) | {"conversation_id": ids["conversation_id"]} if self.body else None
        began = time.perf_counter()
        answer = await person.client.request(self.method, self.path.format_map(ids), params=query, json=body)
        took = time.perf_counter() - began
        answer.raise_for_status()
        return took * 1000


Times = dict[Case, tuple[list[float], list[float]]]
"""The milliseconds of each case's rounds, of the small account and of the large one."""

CASES: Final = (
    Case("list", "GET", "/conversations"),
    Case("list, second page", "GET", "/conversations", {"limit": 25, "offset": 25}),
    Case("conversation, 4 messages", "GET", "/conversations/{conversation_id}", {"messages": 4}),
    Case(
        "page of 2 messages", "GET", "/conversations/{conversation_id}/messages", {"limit": 2, "before": "{message_id}"}
    ),
    Case("turn", "POST", "/api/v1/chat", body={"message": {"content": "What does Parley keep?"}}),
    Case("search", "GET", "/conversations/search", {"q": "lanterns"}, grows=True),
)


def main() -> int:
    """Measure, print the table, and return 0 when every bar is met."""
    times = _times(ROUNDS)
    _print(times)
    return 0 if all(bar.met for bar in _bars(times)) else 1


def measure(rounds: int) -> list[Bar]:
    """Return the bars of requests that must not grow with the account, measured in so many rounds."""
    return _bars(_times(rounds))


def _times(rounds: int) -> Times:
    """Return the milliseconds of each case, for the small account and for the large one."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # root's Postgres runs as somebody else
        with postgres(Path(folder) / "postgres", fsync="off") as url:
            upgrade(url)
            return asyncio.run(_measure(folder, url, rounds))


async def _measure(folder: str, url: str, rounds: int) -> Times:
    environment = {"OPENAI_API_KEY": "key", "RETENTION_CONVERSATIONS": "0"}
    async with upstream() as model, serving(folder, url, OPENAI_BASE_URL=model, **environment) as at:
        small, large = await _person(at, url, 50, 4), await _person(at, url, 1_000, 10_000)
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(OTHERS):
                fill(connection, account(connection, team(connection)), conversations=2, messages=4, longest=4)
            connection.execute("VACUUM ANALYZE")
        times: Times = {case: ([], []) for case in CASES}
        for number in range(rounds + 5):
            for case, kept in times.items():
                for person, took in zip((small, large), kept, strict=True):
                    milliseconds = await case.ask(person)
                    if number >= 5:  # the first are an instance's first
                        took.append(milliseconds)
        for person in (small, large):
            await person.client.aclose()
    return times


async def _person(at: str, url: str, conversations: int, longest: int) -> Person:
    """Sign somebody up and in, and give them so many conversations."""
    client = httpx.AsyncClient(base_url=at, timeout=60)
    new = {"email": f"{conversations}@example.com", "password": PASSWORD}
    user = (await client.post("/auth/register", json=new)).raise_for_status().json()
    tokens = (await client.post("/auth/login", json=new)).raise_for_status().json()
    client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    with psycopg.connect(url, autocommit=True) as connection:
        conversation_id = fill(connection, UUID(user["id"]), conversations=conversations, messages=4, longest=longest)
    newest = f"/conversations/{conversation_id}/messages"
    said = (await client.get(newest, params={"limit": 1_000})).raise_for_status().json()["messages"]
    return Person(client, conversation_id, UUID(said[len(said) // 2]["id"]))


def _ratio(small: Sequence[float], large: Sequence[float]) -> float:
    return median(large) / median(small)


def _bars(times: Times) -> list[Bar]:
    bounded = {case: kept for case, kept in times.items() if not case.grows}
    return [
        Bar(f"{case.name}, a large account's against a small one's", _ratio(*kept), BAR)
        for case, kept in bounded.items()
    ]


def _print(times: Times) -> None:
    title = f"A small account and a large one, median of {len(next(iter(times.values()))[0])}"
    table = Table("", "small ms", "large ms", "ratio", "bar", "", title=title)
    for case, (small, large) in times.items():
        ratio = _ratio(small, large)
        bar = ("none", "") if case.grows else (f"{BAR:g}", "met" if ratio <= BAR else "MISSED")
        table.add_row(case.name, f"{median(small):.1f}", f"{median(large):.1f}", f"{ratio:.2f}", *bar)
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
