"""How the search in documents is."""

import pytest

from lib.health.retrieval import read_retrieval
from lib.rag.retrieve import Retriever
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
    assert reading.detail == "vector_store: It cannot be reached: ClientConnectorError."


async def test_a_collection_that_is_not_there_is_down(kept: Library) -> None:
    reading = await read_retrieval(retriever_of(kept, qdrant_collection="nothing"))
    assert reading.detail == "vector_store: There is no such collection: see QDRANT_COLLECTION, and ingest documents."


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


async def test_without_a_vector_store_there_is_nothing_to_ask() -> None:
    reading = await read_retrieval(Retriever.from_settings(retrieval_settings(None, NOWHERE)))
    assert (reading.status, reading.configured) == ("down", False)
