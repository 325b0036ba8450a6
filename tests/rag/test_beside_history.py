"""A search and the history are waited for together, and neither for the other."""

import asyncio
from typing import Any

import pytest

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.search_services import NOTHING, numbers, serving
from tests.fixtures.people import someone
from tests.fixtures.web import Deploy, question

WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/api/v1/chat", question("Go on")),
    ("/api/v1/chat/stream", question("Go on")),
    ("/conversations/chat", {"message": "Go on"}),
    ("/conversations/chat/stream", {"message": "Go on"}),
    ("/api/v1/conversations/{}/messages", {"content": "Go on"}),
    ("/conversations/{}/messages", {"content": "Go on"}),
)
"""Every way to go on with a conversation that is not with an agent."""


@pytest.mark.parametrize(("path", "body"), WAYS, ids=lambda each: each if isinstance(each, str) else "")
async def test_a_search_begins_before_the_database_says_anything(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer, path: str, body: dict[str, Any]
) -> None:
    async with serving(numbers(4)) as (embeddings, embeddings_url), serving(NOTHING) as (store, store_url):
        parley = await deploy(DATABASE_URL=proxy.url, qdrant_url=store_url, embedding_base_url=embeddings_url)
        asker = await someone(parley)
        begun = await asker.ask("POST", "/api/v1/chat", json=question("Begin"))
        conversation_id = begun.json()["response"]["conversation_id"]
        await embeddings.is_asked()
        await store.is_asked()
        await openai_double.next_call()
        proxy.stall()
        named = {} if "{}" in path else {"conversation_id": conversation_id}
        asking = asyncio.create_task(asker.ask("POST", path.format(conversation_id), json=body | named))
        await embeddings.is_asked()
        await store.is_asked()
        assert not asking.done()
        proxy.heal()
        answer = await asking
        assert answer.status_code == 200
        assert "empty" in answer.text
        # The database was waited for, not given up: what was said before is in the prompt.
        said = [message["content"] for message in (await openai_double.next_call()).body["messages"]]
        assert said[-3] == "Begin"


async def test_a_question_is_kept_before_the_search_has_found_anything(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer
) -> None:
    async with serving(numbers(4)) as (embeddings, embeddings_url), serving(NOTHING) as (_, store_url):
        parley = await deploy(DATABASE_URL=proxy.url, qdrant_url=store_url, embedding_base_url=embeddings_url)
        asker = await someone(parley)
        embeddings.hold()
        spoken = proxy.messages
        asking = asyncio.create_task(asker.ask("POST", "/api/v1/chat", json=question("Begin")))
        await embeddings.is_asked()
        async with asyncio.timeout(5):
            while proxy.messages == spoken:  # noqa: ASYNC110 - the proxy counts, and tells nobody
                await asyncio.sleep(0)
        embeddings.release()
        assert (await asking).json()["response"]["saved"] is True
