"""More chats at once than there are connections: nobody waits for long, nothing is held, and nothing is lost."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import psycopg
import pytest

from lib.db.errand import BUDGET, WAIT
from lib.db.tenant import EVERY_TEAM
from lib.store import schema
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.people import Asker, someone
from tests.fixtures.web import Deploy, Deployment, Rows, frames, question

CHATS = 200
CONNECTIONS = 3
LIMIT = 30.0
"""Seconds after which a test takes it for a deadlock."""
IN_TIME = WAIT + BUDGET
"""Seconds within which everybody has an answer that begins: what a connection is waited for, and a busy machine."""

Ask = Callable[[aiohttp.ClientSession, Asker, str], Awaitable["Told"]]


@dataclass
class Watched:
    """What was seen of our connections at the server."""

    most: int = 0
    busiest: int = 0
    states: set[str] = field(default_factory=set[str])


@dataclass
class Told:
    """How a request was answered."""

    status: int
    retry_after: str | None
    seconds: float
    frames: list[dict[str, Any]]

    @property
    def last(self) -> dict[str, Any]:
        """Its last frame."""
        return self.frames[-1]


_SEEN = """
    SELECT count(*), count(*) FILTER (WHERE state <> 'idle'), array_agg(DISTINCT state)
    FROM pg_stat_activity WHERE application_name = 'parley' AND backend_type = 'client backend'
"""


@asynccontextmanager
async def watching(database_url: str) -> AsyncGenerator[Watched]:
    """Look at the server again and again, until the end of the block."""
    seen, over = Watched(), asyncio.Event()

    async def look() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as onlooker:
            while not over.is_set():
                row = await (await onlooker.execute(_SEEN)).fetchone()
                assert row
                seen.most, seen.busiest = max(seen.most, row[0]), max(seen.busiest, row[1])
                seen.states |= set(filter(None, row[2] or ()))
                await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        over.set()
        await looking


async def chat(session: aiohttp.ClientSession, asker: Asker, content: str) -> Told:
    began = time.monotonic()
    async with session.post(f"{asker.url}/api/v1/chat/stream", json=question(content), headers=asker.headers) as answer:
        seconds = time.monotonic() - began
        text = await answer.text()
        read = frames(text) if answer.status == 200 else [await answer.json()]
        return Told(answer.status, answer.headers.get("Retry-After"), seconds, read)


async def chat_until_served(session: aiohttp.ClientSession, asker: Asker, content: str) -> Told:
    """Ask, and come back when told to, as a client does."""
    while (told := await chat(session, asker, content)).status == 503:
        assert (told.last["code"], told.retry_after) == ("database_busy", "1")
        assert told.seconds < IN_TIME
        await asyncio.sleep(1)
    return told


async def storm(asker: Asker, contents: list[str], ask: Ask = chat) -> list[Told]:
    async with (
        asyncio.timeout(LIMIT),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        return await asyncio.gather(*(ask(session, asker, content) for content in contents))


def contents_of(tag: str) -> list[str]:
    return [f"{tag} {number}" for number in range(CHATS)]


async def stored(rows: Rows, tag: str) -> dict[str, int]:
    counted = await rows(
        "SELECT b.status, count(*) AS answers FROM messages a JOIN messages b ON b.parent_id = a.id"
        " WHERE a.role = 'user' AND a.parts #>> '{0,text}' LIKE %s GROUP BY 1",
        f"{tag} %",
    )
    return {row["status"]: row["answers"] for row in counted}


async def all_streaming(openai_double: OpenAIServer) -> None:
    async with asyncio.timeout(LIMIT):
        for _ in range(CHATS):
            await openai_double.next_call()


@pytest.mark.alone
async def test_two_hundred_chats_on_three_connections_are_all_answered_and_saved_and_hold_none_while_they_stream(
    deploy: Deploy, openai_double: OpenAIServer, database_url: str, rows: Rows
) -> None:
    parley = await deploy(database_pool_size=CONNECTIONS)
    asker, tag = await someone(parley), uuid4().hex
    openai_double.play(*[Script(stall_at=1)] * CHATS)
    async with watching(database_url) as seen:
        chats = asyncio.create_task(storm(asker, contents_of(tag), chat_until_served))
        await all_streaming(openai_double)
        async with watching(database_url) as streaming:
            began = time.monotonic()
            for _ in range(20):
                async with parley.instance.database.one_statement(EVERY_TEAM) as connection:
                    await schema.state(connection)
            assert time.monotonic() - began < 1, "two hundred streams hold no connection"
        openai_double.resume()
        answers = await chats
    assert [answer.status for answer in answers] == [200] * CHATS
    assert {(answer.last["status"], answer.last["content"]) for answer in answers} == {("success", "Hello, world.")}
    assert all(answer.last["saved"] or answer.last["spooled"] for answer in answers)
    kept = (await stored(rows, tag)).get("complete", 0)
    assert kept >= sum(answer.last["saved"] for answer in answers)
    assert seen.most <= CONNECTIONS
    assert "idle in transaction" not in seen.states
    assert streaming.busiest <= 2, "a beat, and whoever asks"


@pytest.mark.alone
async def test_a_slow_database_answers_some_and_tells_the_others_in_time_when_to_come_back(
    deploy: Deploy, proxy: PostgresProxy, database_url: str, rows: Rows
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url, database_pool_size=CONNECTIONS)
    asker, tag = await someone(parley), uuid4().hex
    proxy.lag = 0.06
    async with watching(database_url) as seen:
        answers = await storm(asker, contents_of(tag))
    proxy.lag = 0.0
    served = [answer for answer in answers if answer.status == 200]
    told = [answer for answer in answers if answer.status != 200]
    assert {(answer.status, answer.last["code"], answer.retry_after) for answer in told} == {
        (503, "database_busy", "1")
    }
    assert max(answer.seconds for answer in told) < IN_TIME
    assert len(served) > CONNECTIONS
    assert all(answer.last["saved"] or answer.last["spooled"] for answer in served)
    assert sum((await stored(rows, tag)).values()) <= len(served)
    assert seen.most <= CONNECTIONS
    assert await is_well(parley), "a storm is no outage"


async def is_well(parley: Deployment) -> bool:
    return (await parley.ask()).json()["response"]["saved"]
