import json
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from local.embeddings import DIMENSIONS, MODEL


@pytest.fixture
def client(embeddings_url: str) -> Generator[OpenAI]:
    with OpenAI(base_url=embeddings_url, api_key="none") as opened:
        yield opened


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_the_official_client_gets_unit_vectors_in_order(client: OpenAI) -> None:
    reply = client.embeddings.create(model=MODEL, input=["a small dog", "a puppy", "tax law"])
    dog, puppy, law = (row.embedding for row in reply.data)
    assert [len(dog), dot(dog, dog)] == [DIMENSIONS, pytest.approx(1, abs=1e-5)]
    assert dot(dog, puppy) > 0.6 > 0.3 > dot(dog, law)
    assert (reply.model, reply.usage.prompt_tokens, reply.usage.total_tokens) == (MODEL, 13, 13)


def test_floats_and_base64_are_the_same_numbers(client: OpenAI) -> None:
    packed = client.embeddings.create(model=MODEL, input="text").data[0].embedding
    plain = client.embeddings.create(model=MODEL, input="text", encoding_format="float").data[0].embedding
    assert packed == pytest.approx(plain, abs=1e-7)


def test_a_text_has_the_same_vector_alone_and_among_others(client: OpenAI) -> None:
    [alone] = client.embeddings.create(model=MODEL, input="one").data
    among = client.embeddings.create(model=MODEL, input=["a much longer text than that", "one", "x" * 5000]).data[1]
    assert among.embedding == alone.embedding


def test_of_a_long_text_only_its_beginning_counts(client: OpenAI) -> None:
    long = "word " * 10_000
    one, other = client.embeddings.create(model=MODEL, input=[long, long + "something else"]).data
    assert one.embedding == other.embedding


def test_the_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]


@pytest.mark.parametrize("wrong", ["", [], ["a", ""], [1, 2], [[1, 2]], {"a": 1}, None])
def test_an_input_that_is_none_is_refused_as_openai_does(embeddings_url: str, wrong: Any) -> None:
    answer = httpx.post(f"{embeddings_url}/embeddings", json={"model": MODEL, "input": wrong})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", json.dumps({"input": "no model"}).encode()])
def test_a_body_that_is_none_is_refused_as_openai_does(embeddings_url: str, body: bytes) -> None:
    answer = httpx.post(f"{embeddings_url}/embeddings", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_the_official_client_knows_the_refusals(client: OpenAI) -> None:
    with pytest.raises(BadRequestError):
        client.embeddings.create(model=MODEL, input="text", dimensions=100)
    with pytest.raises(NotFoundError, match="another"):
        client.embeddings.create(model="another", input="text")
