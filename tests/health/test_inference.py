"""How the models' providers are, as their lists of models tell."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from google import genai
from openai import AsyncOpenAI

from lib.health.fetch import fetch
from lib.health.inference import read_inference
from lib.health.listing import NOTHING_LISTED
from lib.health.probe import Unwell
from lib.http import http_session
from lib.providers.models import ModelList, model_lists
from tests.doubles.models_server import KEY, ModelsServer
from tests.fixtures.web import make_settings

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def models() -> AsyncGenerator[ModelsServer]:
    async with ModelsServer() as server:
        yield server


def both(models: ModelsServer, *, key: str = KEY, openai_url: str | None = None) -> tuple[ModelList, ...]:
    at = {"GEMINI_BASE_URL": models.url, "gemini_api_key": key}
    return model_lists(make_settings(None, openai_url or models.openai_url, openai_api_key=key, **at))


async def test_vendors_own_clients_ask_the_double_the_same(models: ModelsServer) -> None:
    async with AsyncOpenAI(base_url=models.openai_url, api_key=KEY) as client:
        assert [model.id async for model in client.models.list()] == ["double-1"]
    # Ours is given to it, since it would make one in a way that aiohttp warns of.
    options = genai.types.HttpOptions(base_url=models.url, aiohttp_client=http_session())
    listed = await genai.Client(api_key=KEY, http_options=options).aio.models.list(config={"page_size": 1})
    assert listed[0].name == "models/double-1"
    assert (await read_inference(both(models))).status == "ok"
    assert models.asked == 4


async def test_each_provider_that_a_turn_may_ask_is_asked_once(models: ModelsServer) -> None:
    settings = make_settings(
        None, models.openai_url, vllm_endpoint=f"{models.openai_url}/", providers=("vllm:a", "openai:b", "vllm:c")
    )
    assert [listed.provider for listed in model_lists(settings)] == ["vllm", "openai"]
    assert {listed.url for listed in model_lists(settings)} == {f"{models.openai_url}/models"}


async def test_all_that_answer_are_ok(models: ModelsServer) -> None:
    reading = await read_inference(both(models))
    assert (reading.status, reading.detail) == ("ok", None)
    assert {name: part.status for name, part in reading.parts.items()} == {"openai": "ok", "gemini": "ok"}


async def test_one_that_is_away_leaves_it_degraded(models: ModelsServer) -> None:
    reading = await read_inference(both(models, openai_url=f"{NOWHERE}/v1"))
    assert (reading.status, reading.parts["gemini"].status) == ("degraded", "ok")
    assert reading.detail == (
        "openai: Nothing answers at its host and port: correct OPENAI_API_KEY and OPENAI_BASE_URL, or start it."
    )


async def test_a_wrong_key_is_down_for_either_and_neither_it_nor_an_address_is_told(models: ModelsServer) -> None:
    reading = await read_inference(both(models, key="wrong-key"))
    assert reading.status == "down"
    assert reading.parts["openai"].detail == (
        "It refuses the key with 401: give a valid one in OPENAI_API_KEY and OPENAI_BASE_URL."
    )
    assert reading.parts["gemini"].detail == "It refuses the key with 400: give a valid one in GEMINI_API_KEY."
    assert "wrong-key" not in repr(reading)
    assert models.url not in repr(reading)


@pytest.mark.parametrize(
    ("status", "judged", "detail"),
    [
        (403, "down", "It refuses the key with 403: give a valid one in OPENAI_API_KEY and OPENAI_BASE_URL."),
        (404, "degraded", NOTHING_LISTED),
        (405, "degraded", NOTHING_LISTED),
        (501, "degraded", NOTHING_LISTED),
        (302, "down", "It answers with 302: see OPENAI_API_KEY and OPENAI_BASE_URL, and its status page."),
        (500, "down", "It answers with 500: see OPENAI_API_KEY and OPENAI_BASE_URL, and its status page."),
        (429, "degraded", "It takes no more requests for now: see its quota and its billing."),
    ],
)
async def test_what_a_status_means(models: ModelsServer, status: int, judged: str, detail: str) -> None:
    models.status = status
    part = (await read_inference(both(models)[:1])).parts["openai"]
    assert (part.status, part.detail) == (judged, detail)


async def test_where_a_vendor_surely_lists_its_models_a_missing_list_is_a_wrong_address(models: ModelsServer) -> None:
    models.status = 404
    openai, gemini = both(models)
    reading = await read_inference((replace(openai, always=True), gemini))
    assert {name: part.status for name, part in reading.parts.items()} == {"openai": "down", "gemini": "down"}
    assert reading.parts["gemini"].detail == "It answers with 404: see GEMINI_API_KEY, and its status page."


@pytest.mark.parametrize(
    ("base_url", "always"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://api.openai.com.example/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("https://api.together.xyz/v1", False),
    ],
)
def test_only_openai_itself_surely_lists_its_models(base_url: str, always: bool) -> None:
    (listed,) = model_lists(make_settings(None, base_url, gemini_api_key=None))
    assert listed.always is always


@pytest.mark.parametrize(
    "body",
    [
        b'[{"id": "meta/llama"}]',
        b' \n{"object": "list", "data": null}',
        b'{"data": ['
        + b",".join(b'{"id": "%05d", "description": "%s"}' % (n, b"x" * 2000) for n in range(1000))
        + b"]}",
    ],
    ids=["a bare array", "an empty one", "two megabytes"],
)
async def test_a_list_of_any_shape_and_length_is_one(models: ModelsServer, body: bytes) -> None:
    models.body = body
    assert (await read_inference(both(models)[:1])).status == "ok"


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"", b" ", b"\xff"])
async def test_what_lists_no_models_is_no_provider(models: ModelsServer, body: bytes) -> None:
    models.body = body
    part = (await read_inference(both(models)[:1])).parts["openai"]
    assert (part.status, part.detail) == (
        "down",
        "What answers is no API of a model's provider: correct OPENAI_API_KEY and OPENAI_BASE_URL.",
    )


async def test_a_body_without_end_is_read_no_further_than_needed(models: ModelsServer) -> None:
    models.body = b"x" * 5_000_000
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = await fetch(f"{models.openai_url}/models", "URL", headers, seconds=2, most=1000)
    assert answer.status == 200
    assert 1000 <= len(answer.body) < 1_000_000


async def test_one_that_is_silent_is_given_up(models: ModelsServer) -> None:
    models.silent = True
    with pytest.raises(Unwell, match=r"^There is no answer within 0.05 s: see URL, and any firewall.$"):
        await fetch(f"{models.openai_url}/models", "URL", {}, seconds=0.05)


async def test_both_are_asked_at_once(models: ModelsServer) -> None:
    models.silent = True
    reading = asyncio.create_task(read_inference(both(models)))
    while models.asked < 2:
        await models.was_asked.wait()
        models.was_asked.clear()
    models.resume()
    assert (await reading).status == "ok"


async def test_without_a_model_there_is_nothing_to_ask() -> None:
    reading = await read_inference(())
    assert (reading.status, reading.configured, reading.latency_ms) == ("down", False, None)
