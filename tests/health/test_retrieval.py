"""How the search in documents is."""

from collections.abc import Awaitable, Callable

import pytest

from lib.health.probe import Reading
from lib.health.retrieval import read_retrieval, read_vector_store
from lib.rag.retrieve import Retriever
from tests.doubles.embeddings_server import EmbeddingsServer
from tests.fixtures.retrieval import NOWHERE, Library, retrieval_settings


@pytest.fixture
def kept(library: Library) -> Library:
    library.keep({"a.md": "# Parley\n\nParley answers."})
    return library


def retriever_of(kept: Library, **changes: object) -> Retriever | None:
    settings = kept.settings.model_copy(update=changes)
    return Retriever.from_settings(settings)


async def test_a_collection_and_embeddings_that_fit_are_ok(kept: Library) -> None:
    reading = await read_retrieval(kept.retriever)
    assert (reading.status, reading.detail) == ("ok", None)
    assert set(reading.parts) == {"vector_store", "embeddings"}


async def test_a_vector_store_that_is_away_is_down(kept: Library) -> None:
    reading = await read_retrieval(retriever_of(kept, qdrant_url="http://127.0.0.1:9"))
    assert (reading.status, reading.parts["embeddings"].status) == ("down", "ok")
    assert reading.detail == (
        "vector_store: Nothing answers at its host and port: correct QDRANT_URL and QDRANT_API_KEY, or start it."
    )


async def test_a_collection_that_is_not_there_is_down(kept: Library) -> None:
    reading = await read_retrieval(retriever_of(kept, qdrant_collection="nothing"))
    assert reading.detail == (
        "vector_store: There is no such collection: ingest documents, or correct QDRANT_COLLECTION."
    )


async def test_embeddings_that_are_away_are_down(kept: Library) -> None:
    reading = await read_retrieval(retriever_of(kept, embedding_base_url=NOWHERE))
    assert (reading.status, reading.parts["vector_store"].status) == ("down", "ok")
    assert reading.detail == "embeddings: The embeddings endpoint could not be used: ClientConnectorError."


async def test_embeddings_of_another_size_than_the_collections_are_down(kept: Library, shelf: Library) -> None:
    reading = await read_retrieval(retriever_of(kept, embedding_base_url=shelf.settings.embedding_base_url))
    assert reading.status == "down"
    assert reading.detail == "The collection holds vectors of 384, and the embeddings have 16: see EMBEDDING_MODEL."


async def test_a_server_that_is_no_qdrant_is_down(kept: Library, embeddings_url: str) -> None:
    reading = await read_retrieval(retriever_of(kept, qdrant_url=embeddings_url.removesuffix("/v1")))
    assert reading.status == "down"


async def test_the_vector_store_alone_is_asked_without_an_embedding(
    shelf: Library, embeddings_double: EmbeddingsServer
) -> None:
    shelf.keep({"a.md": "# Parley\n\nParley answers."})
    embedded = len(embeddings_double.requests)
    assert (await read_vector_store(shelf.retriever)).status == "ok"
    gone = await read_vector_store(retriever_of(shelf, qdrant_collection="nothing"))
    assert (gone.status, gone.configured) == ("down", True)
    assert len(embeddings_double.requests) == embedded
    assert (await read_retrieval(shelf.retriever)).status == "ok"
    assert len(embeddings_double.requests) == embedded + 1


@pytest.mark.parametrize("read", [read_vector_store, read_retrieval])
async def test_without_a_vector_store_there_is_nothing_to_ask(
    read: Callable[[Retriever | None], Awaitable[Reading]],
) -> None:
    reading = await read(Retriever.from_settings(retrieval_settings(None, NOWHERE)))
    assert (reading.status, reading.configured) == ("down", False)
