"""What a turn costs the database."""

import asyncio

import pytest

from lib.unhindered import settle
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy, asked
from tests.doubles.upstream import Script
from tests.fixtures.web import Deploy


async def test_a_turn_costs_one_round_trip_before_the_model_and_one_after(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    conversation_id = (await parley.ask()).json()["response"]["conversation_id"]
    openai_double.play(Script(silent=True))
    await openai_double.next_call()
    proxy.messages = 0
    asking = asyncio.create_task(parley.ask("Go on", conversation_id=conversation_id))
    await openai_double.next_call()
    assert proxy.messages == 1
    openai_double.resume()
    assert (await asking).json()["response"]["saved"] is True
    assert proxy.messages == 2


@pytest.mark.parametrize(("continues", "round_trips"), [(False, 3), (True, 2)])
async def test_retention_costs_one_more_and_only_when_a_conversation_is_new(
    deploy: Deploy, proxy: PostgresProxy, continues: bool, round_trips: int
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    await parley.sign_up()
    proxy.messages = 0
    conversation_id = (await parley.ask()).json()["response"]["conversation_id"]
    await asked(proxy, 3)  # what is dropped is dropped after the answer
    proxy.messages = 0
    await parley.ask("Go on", conversation_id=conversation_id if continues else None)
    await asked(proxy, round_trips)
    await settle()
    assert (proxy.messages, proxy.connections) == (round_trips, 1)


async def test_a_retry_costs_two_and_asks_no_model(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    conversation_id = (await parley.ask()).json()["response"]["conversation_id"]
    for continued in (conversation_id, None):
        parley.client.headers["Idempotency-Key"] = f"the key of a test, {continued}"
        first = await parley.ask("Go on", conversation_id=continued)
        await settle()
        asked, proxy.messages = len(openai_double.calls), 0
        again = await parley.ask("Go on", conversation_id=continued)
        assert again.json()["response"]["content"] == first.json()["response"]["content"]
        assert (proxy.messages, len(openai_double.calls)) == (2, asked)
