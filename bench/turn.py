"""What a turn costs the database: statements and round trips, before its first token, until its end, and afterwards.

    make bench-turn

Postgres is real, behind a line that counts (`bench/line.py`); the server is one process, which limits rates, retains
and names conversations. The model holds each answer back, before its first token and after it, so that what is counted
lies on one side or the other. The median of a few turns counts: one that takes longer than a quarter of a second is
kept while it is written.

A tenant's statement travels with the one that asks whether its caller may: two statements in one round trip.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal
from uuid import UUID, uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from bench.bars import Bar
from bench.line import Count, Line
from bench.seed import fill
from bench.server import serving
from lib.settings import DEFAULT_RATE_LIMITS
from local.postgres import postgres
from scripts.init_db import upgrade

ROUNDS: Final = int(os.environ.get("ROUNDS", "3"))
BEFORE: Final = 2
"""Round trips that there may be before the first token."""
AFTER: Final = 1
"""Round trips that there may be from the first token to the end of the answer; and what may be left to do after it."""
LONG: Final = 10_000
"""Messages of the long conversation."""
WRITING: Final = 2.0
"""Seconds for which a long answer is written."""
PASSWORD: Final = "a password of the benchmark"  # noqa: S105
TOKEN: Final = b"first"
"""What the model's first token says."""


def _frame(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: %s\n\n" % json.dumps({"id": "1", "object": "chat.completion.chunk", "choices": [choice]}).encode()


_BEGINNING: Final = _frame({"role": "assistant", "content": ""}) + _frame({"content": TOKEN.decode()})
_END: Final = _frame({"content": " and last"}) + _frame({}, "stop") + b"data: [DONE]\n\n"
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"


@dataclass
class Model:
    """A model and a webhook at once, which holds back the next answer that it is told to.

    Attributes:
        asked: set when it is asked for that answer.
        begins: what its first token waits for.
        goes_on: what the rest of it waits for.
    """

    held: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    begins: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self) -> None:
        """Hold the next answer back."""
        self.held = True
        self.asked, self.begins, self.goes_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[str]:
        """Serve in this event loop and yield the URL."""
        async with await asyncio.start_server(self._converse, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
                await reader.readexactly(int(fields[b"content-length"]))
                held, self.held = self.held, False
                if held:
                    self.asked.set()
                    await self.begins.wait()
                writer.write(_HEAD % len(_BEGINNING + _END) + _BEGINNING)
                if held:
                    await self.goes_on.wait()
                writer.write(_END)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller is done
        finally:
            writer.close()


@dataclass(frozen=True)
class Costs:
    """What one turn cost.

    Attributes:
        before: until its first token was with its reader, or with us where the answer comes whole.
        after: from there until its reader had all of it.
        afterwards: what nobody waited for.
    """

    before: Count
    after: Count
    afterwards: Count


@dataclass(frozen=True, eq=False)
class Case:
    """A kind of turn. What stands in braces is filled in for each: a conversation, a message, an agent, a new text.

    Attributes:
        name: what it is.
        path: where it is asked for.
        body: what is asked.
        who: whose credential it comes with.
        key: its Idempotency-Key.
        retried: whether it is asked twice, and only the second time counts, when no model is asked.
    """

    name: str
    path: str
    body: Mapping[str, Any]
    who: Literal["user", "guest", "program"] = "user"
    key: str | None = None
    retried: bool = False

    @property
    def streamed(self) -> bool:
        """Whether the answer comes as it is written."""
        return self.path not in {WHOLE, AGENT_WHOLE}


WHOLE, STREAM = "/api/v1/chat", "/api/v1/chat/stream"
AGENT_WHOLE, AGENT_STREAM = "/conversations/chat", "/conversations/chat/stream"
EDIT: Final = "/conversations/{edited}/messages/{message}/edit"
FIRST: Final = {"message": {"content": "What does Parley keep?"}}
NEXT: Final = FIRST | {"conversation_id": "{long}"}

CASES: Final = (
    Case("first message, streamed", STREAM, FIRST),
    Case("first message, whole", WHOLE, FIRST),
    Case(f"after {LONG:,} messages, streamed", STREAM, NEXT),
    Case(f"after {LONG:,} messages, whole", WHOLE, NEXT),
    Case("a question worded anew, streamed", EDIT, {"content": "What is Parley?"}),
    Case("with an Idempotency-Key, streamed", STREAM, NEXT, key="{new}"),
    Case("with an Idempotency-Key, whole", WHOLE, FIRST, key="{new}"),
    Case("the same again, whole", WHOLE, NEXT, key="{new}", retried=True),
    Case("an agent's model, streamed", AGENT_STREAM, {"message": "Begin", "agent_id": "{model}"}),
    Case("an agent's model, whole", AGENT_WHOLE, {"message": "Begin", "agent_id": "{model}"}),
    Case("an agent's webhook, streamed", AGENT_STREAM, {"message": "Begin", "agent_id": "{webhook}"}),
    Case("the webhook's next answer", AGENT_STREAM, {"message": "Go on", "conversation_id": "{hooked}"}),
    Case("a guest's first message, streamed", STREAM, FIRST, "guest"),
    Case("a guest's next message, whole", WHOLE, FIRST | {"conversation_id": "{guests}"}, "guest"),
    Case("a program with an API key, streamed", STREAM, NEXT, "program"),
)


@dataclass(frozen=True)
class Bench:
    """All that takes part: `named` fills in what cases name, `credentials` are the headers of whoever asks."""

    line: Line
    model: Model
    client: httpx.AsyncClient
    named: Mapping[str, str]
    credentials: Mapping[str, Mapping[str, str]]

    async def count(self, case: Case, *, writing: float = 0) -> Costs:
        """Ask, and count what that costs; the answer is written for so many seconds."""
        named = dict(self.named) | {"new": uuid4().hex}
        if case.retried:
            await self._ask(case, named, asyncio.Event())
        began = await self.line.quiet()
        first = asyncio.Event()
        if case.retried:
            await self._ask(case, named, first)
            before = ended = self.line.count
        else:
            self.model.hold()
            asking = asyncio.create_task(self._ask(case, named, first))
            await _either(self.model.asked, asking)
            before = self.line.count
            self.model.begins.set()
            if case.streamed:
                await _either(first, asking)
                before = self.line.count
            await asyncio.sleep(writing)
            self.model.goes_on.set()
            await asking
            ended = self.line.count
        return Costs(before - began, ended - before, await self.line.quiet() - ended)

    async def _ask(self, case: Case, named: Mapping[str, str], first: asyncio.Event) -> None:
        """Ask and receive all of the answer; `first` is set when the first token is there."""
        key = {"Idempotency-Key": case.key.format_map(named)} if case.key else {}
        body, headers = _filled(case.body, named), {**self.credentials[case.who], **key}
        received = b""
        async with self.client.stream("POST", case.path.format_map(named), json=body, headers=headers) as answer:
            async for data in answer.aiter_bytes():
                received += data
                if TOKEN in received:
                    first.set()
        if answer.status_code != 200 or TOKEN not in received:
            raise RuntimeError(f"{case.name}: {answer.status_code} {received[:500]!r}")


async def _either(event: asyncio.Event, asking: asyncio.Task[None]) -> None:
    """Wait for an event, or raise what the asking failed with."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait((waiting, asking), return_when=asyncio.FIRST_COMPLETED)
    if not event.is_set():
        waiting.cancel()
        await asking
        raise RuntimeError("the answer was over before it was held back")


def _filled(body: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    return {name: value.format_map(named) if isinstance(value, str) else value for name, value in body.items()}


def main() -> int:
    """Measure, print the table, and return 0 when every bar is met."""
    costs, seconds = _measured()
    _print(costs, seconds)
    return 0 if all(bar.met for bar in _bars(costs)) else 1


def measure() -> list[Bar]:
    """Measure, and return the bars, each of the turn that costs most."""
    return _bars(_measured()[0])


def _measured() -> tuple[dict[Case, Costs], Count]:
    """Return what each kind of turn costs, and what a second of a long answer does."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # root's Postgres runs as somebody else
        with postgres(Path(folder) / "postgres", fsync="off") as url:
            upgrade(url)
            return asyncio.run(_measure(folder, url))


async def _measure(folder: str, url: str) -> tuple[dict[Case, Costs], Count]:
    model, line = Model(), Line(url)
    environment = {
        "OPENAI_API_KEY": "key",
        "RATE_LIMITS": ",".join(f"{name}=1000" for name in DEFAULT_RATE_LIMITS),
        "WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
    }
    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(model.serve())
        database = await stack.enter_async_context(line.open())
        parley = await stack.enter_async_context(serving(folder, database, OPENAI_BASE_URL=at, **environment))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=parley, timeout=60))
        bench = Bench(line, model, client, *await _people(client, url, f"{at}/webhook"))
        counted: dict[Case, list[Costs]] = {case: [] for case in CASES}
        for number in range(ROUNDS + 1):
            for case, costs in counted.items():
                cost = await bench.count(case)
                if number:  # the first are an instance's first, and connect
                    costs.append(cost)
        long = await bench.count(CASES[0], writing=WRITING)
        medians = {case: _median(costs) for case, costs in counted.items()}
        kept = long.after - medians[CASES[0]].after
        return medians, Count(round(kept.round_trips / WRITING), round(kept.statements / WRITING))


async def _people(
    client: httpx.AsyncClient, url: str, webhook: str
) -> tuple[dict[str, str], dict[str, Mapping[str, str]]]:
    """Sign an administrator up and in, and make what cases name; return that, and the credentials."""
    new = {"email": "ada@example.com", "password": PASSWORD}
    user = (await client.post("/auth/register", json=new)).raise_for_status().json()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE users SET role = 'admin'")
        long = fill(connection, UUID(user["id"]), conversations=1, messages=4, longest=LONG)
    tokens = (await client.post("/auth/login", json=new)).raise_for_status().json()
    client.cookies.clear()
    signed_in = {"Authorization": f"Bearer {tokens['access_token']}"}

    async def ask(path: str, body: Mapping[str, Any], *, headers: Mapping[str, str] = signed_in) -> dict[str, Any]:
        return (await client.post(path, json=body, headers=headers)).raise_for_status().json()

    model = await ask("/api/agents", {"name": "Ours", "system_prompt": "Be brief."})
    hook = await ask("/api/agents", {"name": "Theirs", "webhook_url": webhook})
    hooked = await ask(AGENT_WHOLE, {"message": "Begin", "agent_id": hook["id"]})
    guests = await ask(WHOLE, FIRST, headers={})
    key = await ask("/auth/api-keys", {"name": "A program", "scopes": ["chat"]})
    edited = await ask(WHOLE, FIRST)
    path = f"/conversations/{edited['response']['conversation_id']}/messages"
    said = (await client.get(path, headers=signed_in)).raise_for_status().json()["messages"]
    named = {
        "message": said[0]["id"],
        "long": str(long),
        "model": model["id"],
        "webhook": hook["id"],
        "hooked": hooked["conversation_id"],
        "guests": guests["response"]["conversation_id"],
        "edited": edited["response"]["conversation_id"],
    }
    return named, {"user": signed_in, "guest": {}, "program": {"Authorization": f"Bearer {key['key']}"}}


def _median(costs: Sequence[Costs]) -> Costs:
    def of(part: Callable[[Costs], Count]) -> Count:
        parts = [part(each) for each in costs]
        return Count(round(median(p.round_trips for p in parts)), round(median(p.statements for p in parts)))

    return Costs(of(lambda each: each.before), of(lambda each: each.after), of(lambda each: each.afterwards))


def _bars(costs: Mapping[Case, Costs]) -> list[Bar]:
    most_before = max(cost.before.round_trips for cost in costs.values())
    most_after = max(cost.after.round_trips for cost in costs.values())
    return [
        Bar("round trips to the database before the first token", most_before, BEFORE),
        Bar("round trips to the database from the first token to the end", most_after, AFTER),
    ]


def _print(costs: Mapping[Case, Costs], second: Count) -> None:
    title = f"Round trips to the database (statements), median of {ROUNDS}"
    table = Table("", "before the first token", "until the end", "afterwards", "", title=title)
    for case, cost in costs.items():
        parts = (cost.before, cost.after, cost.afterwards)
        met = cost.before.round_trips <= BEFORE and cost.after.round_trips <= AFTER
        table.add_row(case.name, *map(_shown, parts), "met" if met else "MISSED")
    table.add_row("bar", f"{BEFORE}", f"{AFTER}", "none", "")
    console = Console(width=120)
    console.print(table)
    console.print(f"An instance that is writing answers keeps what came of all of them: {_shown(second)} a second.")


def _shown(count: Count) -> str:
    return f"{count.round_trips} ({count.statements})"


if __name__ == "__main__":
    sys.exit(main())
