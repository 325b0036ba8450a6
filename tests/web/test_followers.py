"""Readers of an answer that another request writes: they wait at little cost, and are always told how it ended."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from lib.chat.replay import POLL
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.people import Asker, someone
from tests.fixtures.streams import Event, events, told
from tests.fixtures.web import Deploy, Deployment

BEYOND = "9.999999999.999999999.999999999"
"""An id behind every event that there is."""
MANY = 300


@dataclass(frozen=True)
class Answering:
    """An answer that says one word, and the rest when it is resumed; `sent` has its stream then."""

    conversation: str
    path: str
    sent: asyncio.Task[httpx.Response]


@dataclass
class Following:
    """A stream that was taken up, as far as it was read."""

    response: httpx.Response
    pieces: AsyncIterator[str]
    said: str = ""

    async def until(self, text: str) -> list[Event]:
        """Read on until the answer is this."""
        while not (read := events(self.said)) or told(read)["text"] != text:
            self.said += await anext(self.pieces)
        return read

    async def to_the_end(self) -> list[Event]:
        """Read the rest."""
        async for piece in self.pieces:
            self.said += piece
        return events(self.said)


async def answering(asker: Asker, openai_double: OpenAIServer) -> Answering:
    """Have an answer written."""
    conversation_id = (await asker.ask("POST", "/api/chats", json={})).json()["id"]
    conversation = f"/api/v1/conversations/{conversation_id}"
    openai_double.play(Script.saying("One two three", stall_at=1))
    sent = asyncio.create_task(asker.ask("POST", f"{conversation}/messages", json={"content": "Count"}))
    await openai_double.next_call()
    shown = await asker.ask("GET", f"{conversation}/messages")
    return Answering(conversation, f"{conversation}/messages/{shown.json()['messages'][-1]['id']}", sent)


@asynccontextmanager
async def follow(
    asker: Asker, path: str, last: str | None = None, client: httpx.AsyncClient | None = None
) -> AsyncGenerator[Following]:
    """Take a stream up, and yield it once its headers are there."""
    async with AsyncExitStack() as stack:
        client = client or await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        headers = asker.headers | ({"Last-Event-ID": last} if last else {})
        stream = client.stream("GET", f"{asker.url}{path}/stream", headers=headers)
        response = await stack.enter_async_context(stream)
        assert response.status_code == 200
        yield Following(response, response.aiter_text())


async def test_a_stream_that_is_taken_up_begins_at_once_also_where_nothing_is_new(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker = await someone(parley)
    answer = await answering(asker, openai_double)
    async with asyncio.timeout(2), follow(asker, answer.path, BEYOND) as following:
        assert answer.path.endswith(following.response.headers["x-message-id"])
        openai_double.resume()
        await answer.sent
        assert await following.to_the_end() == []
    over = await asker.ask("GET", f"{answer.path}/stream", headers={"Last-Event-ID": BEYOND})
    assert (over.status_code, over.text) == (204, "")


async def test_readers_that_hung_up_ask_the_database_no_more(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer
) -> None:
    here, there = await deploy(), await deploy(DATABASE_URL=proxy.url)
    asker = await someone(here)
    answer = await answering(asker, openai_double)
    async with AsyncExitStack() as stack:
        for last in (None, BEYOND) * 5:
            await stack.enter_async_context(follow(asker.at(there), answer.path, last))
    await asyncio.sleep(2 * POLL)  # what was being asked is answered
    before = proxy.messages
    await asyncio.sleep(4 * POLL)
    assert (proxy.messages, proxy.connections) == (before, 1)
    openai_double.resume()
    await answer.sent


@pytest.mark.alone
async def test_any_number_of_readers_take_one_connection_and_stand_in_nobodys_way(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    # On a busy machine so many take longer to come than a model may be silent for.
    here, there = await deploy(agent_timeout=120), await deploy(DATABASE_URL=proxy.url)
    asker = await someone(here)
    answer = await answering(asker, openai_double)
    unlimited = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=unlimited) as client, AsyncExitStack() as stack:
        taking_up = (
            stack.enter_async_context(follow(asker.at(there), answer.path, last, client))
            for last in (None, BEYOND) * (MANY // 2)
        )
        read = await asyncio.gather(*taking_up)
        await asyncio.sleep(4 * POLL)  # each of them looks a few times
        assert proxy.connections == 1
        for _ in range(10):
            async with asyncio.timeout(2):
                assert (await asker.at(there).ask("GET", "/api/chats?limit=1")).status_code == 200
        openai_double.resume()
        await answer.sent
        whole, nothing = [await following.to_the_end() for following in read[:2]]
        assert (told(whole)["text"], nothing) == ("One two three", [])
    assert "database unavailable" not in caplog.text


async def test_a_reader_of_a_conversation_that_is_deleted_is_told(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker = await someone(parley)
    answer = await answering(asker, openai_double)
    async with follow(asker, answer.path) as following:
        *_, had = await following.until("One")
        await asker.ask("DELETE", answer.conversation)
        last = (await following.to_the_end())[-1]
    assert (last.kind, last.id, last.data["code"]) == ("failed", had.id, "conversation_not_found")
    await answer.sent


async def test_a_reader_who_signed_out_is_told_and_goes_on_where_they_were_when_they_are_back(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker = await someone(parley)
    program = await asker.key("chat", "read")
    answer = await answering(asker, openai_double)
    async with follow(asker, answer.path) as following:
        await following.until("One")
        await asker.ask("POST", "/auth/logout")
        read = await following.to_the_end()
    assert (read[-1].kind, read[-1].data["code"], read[-1].data["over"]) == ("failed", "unauthenticated", False)
    await goes_on(program, answer, read, openai_double)


async def test_a_reader_whose_database_stayed_away_goes_on_where_they_were_when_it_is_back(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer
) -> None:
    here, there = await deploy(agent_timeout=60), await deploy(DATABASE_URL=proxy.url)
    asker = await someone(here)
    answer = await answering(asker, openai_double)
    async with follow(asker.at(there), answer.path) as following:
        await following.until("One")
        proxy.refuse()
        read = await following.to_the_end()
    assert (read[-1].kind, read[-1].data["code"], read[-1].data["over"]) == ("failed", "database_unavailable", False)
    await goes_on(asker, answer, read, openai_double)


async def goes_on(asker: Asker, answer: Answering, read: list[Event], openai_double: OpenAIServer) -> None:
    """Take the stream up behind the failure that ended its reading, and see that nothing is missing."""
    openai_double.resume()
    sent = events((await answer.sent).text)
    async with follow(asker, answer.path, read[-1].id) as following:
        rest = await following.to_the_end()
    assert told([*read[:-1], *rest]) == told(sent)
    assert rest[-1].kind == "finished"


async def test_a_database_that_was_away_for_a_moment_is_not_noticed(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer
) -> None:
    here, there = await deploy(), await deploy(DATABASE_URL=proxy.url)
    asker = await someone(here)
    answer = await answering(asker, openai_double)
    async with follow(asker.at(there), answer.path) as following:
        await following.until("One")
        proxy.refuse()
        openai_double.resume()
        sent = events((await answer.sent).text)
        proxy.heal()
        assert told(await following.to_the_end()) == told(sent)
