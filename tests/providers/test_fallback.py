"""The order of fallback, and the clock."""

import asyncio
from contextlib import aclosing

import pytest

from lib.errors import ProviderError, ProviderRefused, ProviderTimeout
from lib.providers.base import Options, PromptMessage, Text
from lib.providers.fallback import Fallback, Limits
from lib.providers.openai import OpenAIProvider
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script

MESSAGES = (PromptMessage("user", "Hi"),)
PATIENT = Limits(first_token=5, stall=5, whole=5)


def provider(server: OpenAIServer, model: str = "first") -> OpenAIProvider:
    return OpenAIProvider(server.base_url, "key", model)


async def answer(asked: Fallback) -> str:
    return "".join([chunk.text async for chunk in asked.stream(MESSAGES) if isinstance(chunk, Text)])


def fallback(providers: list[OpenAIProvider], limits: Limits, *, again: bool = True) -> Fallback:
    return Fallback(providers, limits, began=asyncio.get_running_loop().time(), again=again)


def models_asked(server: OpenAIServer) -> list[str]:
    return [call.body["model"] for call in server.calls]


async def test_the_next_provider_answers_when_one_does_not_begin(openai_double: OpenAIServer) -> None:
    openai_double.play(Script(status=500), Script.saying("Second."))
    both = fallback([provider(openai_double), provider(openai_double, "second")], PATIENT)
    assert await answer(both) == "Second."
    assert (both.model, models_asked(openai_double)) == ("second", ["first", "second"])


async def test_a_single_provider_is_asked_once_more(openai_double: OpenAIServer) -> None:
    openai_double.play(Script(status=500), Script.saying("Now."))
    assert await answer(fallback([provider(openai_double)], PATIENT)) == "Now."


async def test_the_first_providers_failure_is_the_one_told(openai_double: OpenAIServer) -> None:
    openai_double.play(Script(status=401), Script(status=500))
    with pytest.raises(ProviderRefused):
        await answer(fallback([provider(openai_double), provider(openai_double, "second")], PATIENT))


@pytest.mark.parametrize("script", [Script(status=401), Script(silent=True)])
async def test_a_single_provider_is_not_asked_again_what_it_cannot_answer(
    openai_double: OpenAIServer, script: Script
) -> None:
    openai_double.play(script)
    with pytest.raises(ProviderError):
        await answer(fallback([provider(openai_double)], Limits(first_token=0.1, stall=5, whole=5)))
    assert len(openai_double.calls) == 1


async def test_after_the_first_token_there_is_no_second_provider(openai_double: OpenAIServer) -> None:
    openai_double.play(Script(cut_at=2), Script.saying("Second."))
    with pytest.raises(ProviderError):
        await answer(fallback([provider(openai_double), provider(openai_double, "second")], PATIENT))
    assert models_asked(openai_double) == ["first"]


@pytest.mark.parametrize(
    ("script", "limits"),
    [
        (Script(silent=True), Limits(first_token=0.1, stall=5, whole=5)),
        (Script(stall_at=0), Limits(first_token=0.1, stall=5, whole=5)),
        (Script(stall_at=2), Limits(first_token=5, stall=0.1, whole=5)),
        (Script(pieces=("more",) * 1000, pace=0.02), Limits(first_token=5, stall=5, whole=0.2)),
    ],
    ids=["silent", "no first token", "stalled", "endless"],
)
async def test_every_limit_ends_the_call_upstream_too(
    openai_double: OpenAIServer, script: Script, limits: Limits
) -> None:
    openai_double.play(script)
    async with asyncio.timeout(3):
        with pytest.raises(ProviderTimeout):
            await answer(fallback([provider(openai_double)], limits))
        if not script.silent:
            await openai_double.calls[0].gone.wait()


async def test_a_slow_reader_is_not_held_against_the_provider(openai_double: OpenAIServer) -> None:
    openai_double.play(Script.saying("One two three", pace=0.01))
    said: list[str] = []
    async with aclosing(fallback([provider(openai_double)], Limits(5, 0.1, 5)).stream(MESSAGES)) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, Text):
                said.append(chunk.text)
                await asyncio.sleep(0.2)
    assert "".join(said) == "One two three"


async def test_wishes_reach_whoever_answers(openai_double: OpenAIServer) -> None:
    openai_double.play(Script(status=500), Script.saying("Second."))
    both = fallback([provider(openai_double), provider(openai_double, "second")], PATIENT)
    async for _ in both.stream(MESSAGES, Options(seed=7)):
        pass
    assert [call.body["seed"] for call in openai_double.calls] == [7, 7]


@pytest.mark.parametrize("script", [Script(status=500), Script(cut_at=0), Script(raw=b"data: [DONE]\n\n")])
async def test_who_may_not_be_asked_again_is_not(openai_double: OpenAIServer, script: Script) -> None:
    openai_double.play(script)
    with pytest.raises(ProviderError):
        await answer(fallback([provider(openai_double), provider(openai_double, "second")], PATIENT, again=False))
    assert models_asked(openai_double) == ["first"]


@pytest.mark.parametrize("script", [Script(stall_at=0), Script(stall_at=2)], ids=["before it speaks", "between"])
async def test_who_is_asked_once_may_be_silent_as_long_as_the_turn_lasts(
    openai_double: OpenAIServer, script: Script
) -> None:
    openai_double.play(script)
    asked = asyncio.ensure_future(
        answer(fallback([provider(openai_double)], Limits(first_token=0.05, stall=0.05, whole=10), again=False))
    )
    await openai_double.next_call()
    done, _ = await asyncio.wait({asked}, timeout=0.3)
    assert not done
    openai_double.resume()
    assert await asked == "Hello, world."


async def test_who_is_asked_once_is_given_up_at_the_end_of_the_turn(openai_double: OpenAIServer) -> None:
    openai_double.play(Script(stall_at=1))
    with pytest.raises(ProviderTimeout):
        await answer(fallback([provider(openai_double)], Limits(5, 5, 0.2), again=False))
