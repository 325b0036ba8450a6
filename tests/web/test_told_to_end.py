"""An instance that is told to end: half a second later the platform kills it, and by then everything is kept."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
import pytest

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.served import Served, served
from tests.fixtures.web import CRON_SECRET, JWT_KEY, SEAL_KEY, Deploy, Rows, question

pytestmark = pytest.mark.alone

GRACE: Final = 0.5
"""Seconds that Vercel gives an instance."""
STREAM: Final = "/api/v1/chat/stream?protocol=native"


@dataclass(frozen=True)
class Running:
    """Parley in a process of its own, on a database and a model that fail on command."""

    parley: Served
    proxy: PostgresProxy
    model: OpenAIServer

    async def end(self) -> None:
        """Do what a platform does."""
        self.parley.process.terminate()
        await asyncio.sleep(GRACE)
        if self.parley.process.returncode is None:
            self.parley.process.kill()
        await self.parley.process.wait()


@pytest.fixture
async def running(proxy: PostgresProxy, openai_double: OpenAIServer, tmp_path: Path) -> AsyncGenerator[Running]:
    environment = {
        "DATABASE_URL": proxy.url,
        "OPENAI_API_KEY": "key",
        "OPENAI_BASE_URL": openai_double.base_url,
        "CHAT_MODEL": "double-1",
        "JWT_SECRET_KEY": JWT_KEY,
        "SEAL_KEY": SEAL_KEY,
        "CRON_SECRET": CRON_SECRET,
        "GUEST_CHAT": "true",
        "TITLE_MODEL": "off",
    }
    async with served(tmp_path, **environment) as parley:
        yield Running(parley, proxy, openai_double)


@asynccontextmanager
async def half_an_answer(running: Running) -> AsyncGenerator[UUID]:
    """Have an answer under way of which something has arrived, and yield its conversation's id."""
    running.model.play(Script(stall_at=1))
    async with (
        httpx.AsyncClient(base_url=running.parley.url, timeout=30) as client,
        client.stream("POST", STREAM, json=question("Half?")) as response,
    ):
        lines = response.aiter_lines()
        while await anext(lines) != "event: text":
            pass
        yield UUID(response.headers["x-conversation-id"])


async def kept(rows: Rows, conversation_id: UUID) -> list[tuple[str, str | None]]:
    found = await rows(
        "SELECT status, parts #>> '{0,text}' AS said FROM messages WHERE conversation_id = %s ORDER BY id",
        conversation_id,
    )
    return [(row["status"], row["said"]) for row in found]


async def replayed(deploy: Deploy, proxy: PostgresProxy) -> int:
    """Have the database back, and another instance bring in what waits; return how much did.

    What was under way to a silent database may have been heard after all: then it is known.
    """
    proxy.heal()
    other = await deploy()
    headers = {"Authorization": f"Bearer {CRON_SECRET}"}
    became = (await other.client.post("/api/v1/jobs/replay", headers=headers)).json()
    return became["kept"] + became["known"]


async def test_what_had_arrived_is_saved(running: Running, rows: Rows) -> None:
    async with half_an_answer(running) as conversation_id:
        await running.end()
    assert await kept(rows, conversation_id) == [("complete", "Half?"), ("interrupted", "Hello")]


@pytest.mark.parametrize("fault", ["refuse", "stall"])
async def test_what_had_arrived_waits_where_the_database_is_away(
    running: Running, deploy: Deploy, rows: Rows, fault: str
) -> None:
    async with half_an_answer(running) as conversation_id:
        getattr(running.proxy, fault)()
        await running.end()
    assert await replayed(deploy, running.proxy) == 1
    assert await kept(rows, conversation_id) == [("complete", "Half?"), ("interrupted", "Hello")]


async def test_an_answer_that_a_silent_database_is_taking_waits_whole(
    running: Running, deploy: Deploy, rows: Rows
) -> None:
    async with half_an_answer(running) as conversation_id:
        running.proxy.stall()
        running.model.resume()
        await asyncio.sleep(0.3)  # it is being saved, for as long as its reader has patience
        await running.end()
    assert await replayed(deploy, running.proxy) == 1
    assert await kept(rows, conversation_id) == [("complete", "Half?"), ("complete", "Hello, world.")]


async def test_a_turn_that_never_was_in_the_database_waits_whole_too(
    running: Running, deploy: Deploy, rows: Rows
) -> None:
    running.proxy.refuse()
    async with half_an_answer(running) as conversation_id:
        await running.end()
    assert await replayed(deploy, running.proxy) == 1
    assert await kept(rows, conversation_id) == [("complete", "Half?"), ("interrupted", "Hello")]
