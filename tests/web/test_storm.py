"""More chats at once than there are connections: nobody waits for long, nothing is held, and nothing is lost."""

import asyncio
import time
from uuid import uuid4

import pytest

from lib.db.tenant import EVERY_TEAM
from lib.store import schema
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.people import someone
from tests.fixtures.storm import (
    CHATS,
    IN_TIME,
    KEEP_ALL,
    all_streaming,
    chat_until_served,
    contents_of,
    stored,
    storm,
    watching,
)
from tests.fixtures.web import Deploy, Deployment, Rows

CONNECTIONS = 3


@pytest.mark.alone
async def test_two_hundred_chats_on_three_connections_are_all_answered_and_saved_and_hold_none_while_they_stream(
    deploy: Deploy, openai_double: OpenAIServer, database_url: str, rows: Rows
) -> None:
    parley = await deploy(database_pool_size=CONNECTIONS, **KEEP_ALL)
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
    parley = await deploy(DATABASE_URL=proxy.url, database_pool_size=CONNECTIONS, **KEEP_ALL)
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
