"""How the models' providers are, as their lists of models tell."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from google import genai
from openai import AsyncOpenAI

from lib.health.fetch import fetch
from lib.health.inference import read_inference
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
    settings = make_settings(None, openai_url or models.openai_url, openai_api_key=key, gemini_api_key=key)
    return model_lists(settings, gemini_url=models.url)


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
    assert reading.detail == "openai: It cannot be reached: ClientConnectorError."


async def test_a_wrong_key_is_down_for_either_and_neither_it_nor_an_address_is_told(models: ModelsServer) -> None:
    reading = await read_inference(both(models, key="wrong-key"))
    assert reading.status == "down"
    assert reading.parts["openai"].detail == "It refuses our key with 401: see OPENAI_API_KEY and OPENAI_BASE_URL."
    assert reading.parts["gemini"].detail == "It answered with 400: see GEMINI_API_KEY."
    assert "wrong-key" not in repr(reading)
    assert models.url not in repr(reading)


@pytest.mark.parametrize(
    ("status", "judged", "detail"),
    [
        (403, "down", "It refuses our key with 403: see OPENAI_API_KEY and OPENAI_BASE_URL."),
        (404, "down", "It answered with 404: see OPENAI_API_KEY and OPENAI_BASE_URL."),
        (302, "down", "It answered with 302: see OPENAI_API_KEY and OPENAI_BASE_URL."),
        (500, "down", "It fails with 500."),
        (429, "degraded", "It takes no more requests for now."),
    ],
)
async def test_what_a_status_means(models: ModelsServer, status: int, judged: str, detail: str) -> None:
    models.status = status
    part = (await read_inference(both(models)[:1])).parts["openai"]
    assert (part.status, part.detail) == (judged, detail)


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"{}", b"[1]", b"\xff", b"[" * 100_000])
async def test_what_lists_no_models_is_no_provider(models: ModelsServer, body: bytes) -> None:
    models.body = body
    part = (await read_inference(both(models)[:1])).parts["openai"]
    assert part.detail == "What answers there is no model's provider: see OPENAI_API_KEY and OPENAI_BASE_URL."


async def test_a_body_without_end_is_read_no_further_than_needed(models: ModelsServer) -> None:
    models.body = b"x" * 5_000_000
    status, body = await fetch(f"{models.openai_url}/models", {"Authorization": f"Bearer {KEY}"}, seconds=2)
    assert status == 200
    assert len(body) < 1_000_000


async def test_one_that_is_silent_is_given_up(models: ModelsServer) -> None:
    models.silent = True
    with pytest.raises(Unwell, match=r"^There was no answer within 0.05 s.$"):
        await fetch(f"{models.openai_url}/models", {}, seconds=0.05)


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
