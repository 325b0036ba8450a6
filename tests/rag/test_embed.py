from typing import Any

import pytest

from lib.rag.embed import GEMINI_MODEL, OPENAI_MODEL, Embedder
from lib.rag.wire import ServiceFailed
from lib.settings import GEMINI_OPENAI_URL
from tests.doubles.embeddings_server import EmbeddingsServer
from tests.fixtures.retrieval import NOWHERE, retrieval_settings

ALL: dict[str, Any] = {
    "embedding_base_url": "http://own/v1",
    "embedding_api_key": "own-key",
    "openai_api_key": "openai-key",
    "openai_base_url": "http://openai/v1",
    "gemini_api_key": "gemini-key",
    "vllm_endpoint": "http://vllm/v1",
}


def configured(*, without: tuple[str, ...] = (), model: str | None = None) -> Embedder | None:
    given = {name: value for name, value in ALL.items() if name not in without}
    return Embedder.from_settings(retrieval_settings(None, None, **({"embedding_model": model} | given)))


def test_the_first_endpoint_that_is_configured_is_used() -> None:
    own, openai, gemini = ("embedding_base_url",), ("openai_api_key",), ("gemini_api_key",)
    assert configured() == Embedder("http://own/v1", OPENAI_MODEL, "own-key")
    assert configured(without=own) == Embedder("http://openai/v1", OPENAI_MODEL, "openai-key")
    assert configured(without=own + openai) == Embedder(GEMINI_OPENAI_URL, GEMINI_MODEL, "gemini-key")
    assert configured(without=own + openai + gemini, model="bge-m3") == Embedder("http://vllm/v1", "bge-m3")


def test_a_keyless_endpoint_needs_the_name_of_a_model() -> None:
    assert configured(without=("embedding_base_url", "openai_api_key", "gemini_api_key")) is None


def test_the_model_that_is_named_is_used_everywhere() -> None:
    for without in ((), ("embedding_base_url",), ("embedding_base_url", "openai_api_key")):
        embedder = configured(without=without, model="named")
        assert embedder is not None
        assert embedder.model == "named"


async def test_a_query_and_a_passage_are_embedded_alike(embeddings_url: str) -> None:
    embedder = Embedder(embeddings_url, "minilm-l6")
    text = "How many documents fit?"
    with embedder.passages() as embed:
        assert await embedder.embed_query(text) == pytest.approx(embed([text])[0], abs=1e-6)


def test_passages_keep_their_order(embeddings_double: EmbeddingsServer) -> None:
    with Embedder(embeddings_double.base_url, "double").passages() as embed:
        [one], [two] = embed(["one"]), embed(["two"])
        assert embed(["two", "one", "two"]) == [two, one, two]


def test_an_endpoint_that_is_away_is_a_failure_without_the_key() -> None:
    with Embedder(NOWHERE, "double", "sesame").passages() as embed, pytest.raises(ServiceFailed) as failure:
        embed(["text"])
    assert "sesame" not in str(failure.value)
