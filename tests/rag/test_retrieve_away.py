"""What a search costs while a service that it depends on is away."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from lib.breaker import THRESHOLD, Breaker
from lib.errors import RetrievalUnavailable
from lib.ids import DEFAULT_TEAM_ID
from lib.rag.retrieve import Passage, Retriever
from tests.doubles.embeddings_server import EmbeddingsServer
from tests.fixtures.retrieval import retrieval_settings

NOTHING = b'{"result": {"points": []}}'


class Store:
    """A vector store that answers with one status, or is silent.

    Attributes:
        status: of each answer; None for silence.
        asked: how often it was.
    """

    def __init__(self) -> None:
        self.status: int | None = 200
        self.asked = 0
        self.over = asyncio.Event()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        if self.status is None:
            await self.over.wait()
        else:
            head = f"HTTP/1.1 {self.status} Whatever\r\nContent-Length: {len(NOTHING)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + NOTHING)
        writer.close()


@asynccontextmanager
async def searching(
    embeddings: EmbeddingsServer, *, window: float = 10, budget: float = 0.1
) -> AsyncGenerator[tuple[Retriever, Store]]:
    store = Store()
    async with await asyncio.start_server(store.converse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        made = Retriever.from_settings(retrieval_settings(f"http://127.0.0.1:{port}", embeddings.base_url))
        assert made is not None
        try:
            yield replace(made, timeout=budget, breaker=Breaker(window=window)), store
        finally:
            store.over.set()


async def search(retriever: Retriever) -> tuple[Passage, ...]:
    return await retriever.search("how do I reset my passphrase", team_id=DEFAULT_TEAM_ID)


async def test_one_that_was_silent_is_not_asked_again_for_a_window(embeddings_double: EmbeddingsServer) -> None:
    async with searching(embeddings_double) as (retriever, store):
        store.status = None
        for _ in range(3):
            with pytest.raises(RetrievalUnavailable):
                await search(retriever)
        assert store.asked == 1


async def test_one_whose_gateway_answers_is_asked_no_more_than_the_threshold(
    embeddings_double: EmbeddingsServer,
) -> None:
    async with searching(embeddings_double, budget=5) as (retriever, store):
        store.status = 503
        for _ in range(THRESHOLD + 2):
            with pytest.raises(RetrievalUnavailable):
                await search(retriever)
        assert store.asked == THRESHOLD


@pytest.mark.parametrize("status", [400, 404, 429, 500])
async def test_what_a_question_may_have_caused_keeps_nobody_from_searching(
    embeddings_double: EmbeddingsServer, status: int
) -> None:
    async with searching(embeddings_double, budget=5) as (retriever, store):
        store.status = status
        for _ in range(THRESHOLD + 2):
            with pytest.raises(RetrievalUnavailable):
                await search(retriever)
        assert store.asked == THRESHOLD + 2


async def test_after_the_window_one_search_looks_whether_it_is_back(embeddings_double: EmbeddingsServer) -> None:
    async with searching(embeddings_double, window=0) as (retriever, store):
        store.status = None
        with pytest.raises(RetrievalUnavailable):
            await search(retriever)
        probe = asyncio.create_task(search(retriever))
        await asyncio.sleep(0)
        with pytest.raises(RetrievalUnavailable):
            await search(retriever)
        probe.cancel()
        await asyncio.wait([probe])
        store.status = 200
        assert await search(replace(retriever, timeout=5)) == ()
        assert not retriever.breaker.is_open


async def test_a_question_without_a_word_says_nothing_of_the_services(embeddings_double: EmbeddingsServer) -> None:
    async with searching(embeddings_double, window=0) as (retriever, store):
        store.status = None
        with pytest.raises(RetrievalUnavailable):
            await search(retriever)
        assert await retriever.search("  ", team_id=DEFAULT_TEAM_ID) == ()
        assert retriever.breaker.is_open
