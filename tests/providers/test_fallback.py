"""The order of fallback, and the clock."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from lib.breaker import THRESHOLD, Breaker
from lib.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from lib.providers.base import Options, PromptMessage, Provider, Text
from lib.providers.fallback import Fallback, Limits
from lib.providers.guarded import Guarded
from lib.providers.openai import OpenAIProvider
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script

MESSAGES = (PromptMessage("user", "Hi"),)
PATIENT = Limits(first_token=5, stall=5, whole=5)


def provider(server: OpenAIServer, model: str = "first") -> OpenAIProvider:
    return OpenAIProvider(server.base_url, "key", model)


async def answer(asked: Fallback) -> str:
    return "".join([chunk.text async for chunk in asked.stream(MESSAGES) if isinstance(chunk, Text)])


def fallback(providers: Sequence[Provider], limits: Limits, *, again: bool = True) -> Fallback:
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


def guarded(server: OpenAIServer, model: str = "first") -> Guarded:
    return Guarded(provider(server, model), ("openai", model))


def silent_before(server: OpenAIServer) -> Guarded:
    """Return one whose breaker is open, and would let a probe through at once."""
    breaker = Breaker(window=0)
    call = breaker.enter()
    assert call is not None
    call.failed(waited=True)
    return Guarded(provider(server), ("openai", None), breaker)


def silent(*providers: Provider) -> Fallback:
    return fallback(providers, Limits(first_token=0.1, stall=5, whole=5))


async def test_a_provider_that_was_silent_is_passed_over_by_the_next_turn(openai_double: OpenAIServer) -> None:
    first, second = guarded(openai_double), guarded(openai_double, "second")
    openai_double.play(Script(silent=True), Script.saying("Second."), Script.saying("Second again."))
    assert await answer(silent(first, second)) == "Second."
    assert await answer(silent(first, second)) == "Second again."
    assert models_asked(openai_double) == ["first", "second", "second"]
    assert (first.breaker.is_open, second.breaker.is_open) == (True, False)


async def test_a_turn_whose_providers_are_all_away_fails_at_once_and_says_when_to_come_back(
    openai_double: OpenAIServer,
) -> None:
    openai_double.play(*[Script(silent=True)] * 3)
    both = guarded(openai_double), guarded(openai_double, "second")
    for _ in range(2):
        with pytest.raises(ProviderTimeout):
            await answer(silent(*both))
    with pytest.raises(ProviderUnavailable) as failure:
        await answer(silent(*both))
    assert failure.value.retry_after == 10
    assert models_asked(openai_double) == ["first", "second", "second"]


@pytest.mark.parametrize("models", [["only"], ["first", "second"]])
async def test_one_slow_prompt_takes_the_last_model_from_nobody(
    openai_double: OpenAIServer, models: Sequence[str]
) -> None:
    asked = [guarded(openai_double, model) for model in models]
    for _ in range(2):
        asked[:-1] = [guarded(openai_double, model) for model in models[:-1]]
        openai_double.play(*[Script(silent=True)] * len(asked), Script.saying("Here."))
        with pytest.raises(ProviderTimeout):
            await answer(silent(*asked))
        assert await answer(silent(*asked)) == "Here.", "an answer has the row of silences begin anew"


async def test_the_second_silence_in_a_row_takes_the_last_model_from_everybody(openai_double: OpenAIServer) -> None:
    asked = guarded(openai_double)
    openai_double.play(*[Script(silent=True)] * 2)
    for _ in range(2):
        assert not asked.breaker.is_open
        with pytest.raises(ProviderTimeout):
            await answer(silent(asked))
    assert asked.breaker.is_open


async def test_the_failure_of_one_that_was_asked_is_told_rather_than_that_another_was_not(
    openai_double: OpenAIServer,
) -> None:
    away, refusing = guarded(openai_double), guarded(openai_double, "second")
    openai_double.play(Script(silent=True), Script(status=401), Script(status=401))
    with pytest.raises(ProviderTimeout):
        await answer(silent(away, refusing))
    with pytest.raises(ProviderRefused):
        await answer(silent(away, refusing))
    assert not refusing.breaker.is_open


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_what_a_prompt_or_a_setting_may_have_caused_opens_nothing(
    openai_double: OpenAIServer, status: int
) -> None:
    asked = guarded(openai_double)
    openai_double.play(*[Script(status=status)] * 8)
    for _ in range(4):
        with pytest.raises(ProviderError):
            await answer(fallback([asked], PATIENT))
    assert not asked.breaker.is_open


async def test_gateways_that_answer_in_its_place_open_it(openai_double: OpenAIServer) -> None:
    asked = guarded(openai_double)
    openai_double.play(*[Script(status=502)] * THRESHOLD)
    for _ in range(2):
        with pytest.raises(ProviderError):
            await answer(fallback([asked], PATIENT))
    assert asked.breaker.is_open
    assert len(openai_double.calls) == THRESHOLD


async def test_a_host_that_refuses_connections_is_away() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        asked = Guarded(
            OpenAIProvider(f"http://127.0.0.1:{nobody.getsockname()[1]}/v1", "key", "first"), ("openai", None)
        )
        for _ in range(2):
            with pytest.raises(ProviderError):
                await answer(fallback([asked], PATIENT))
    assert asked.breaker.is_open


async def test_how_an_answer_ends_that_has_begun_is_not_held_against_the_next(openai_double: OpenAIServer) -> None:
    asked = Guarded(provider(openai_double), ("openai", None), Breaker(threshold=1))
    openai_double.play(Script(stall_at=2))
    with pytest.raises(ProviderTimeout):
        await answer(fallback([asked], Limits(5, 0.1, 5)))
    assert not asked.breaker.is_open


async def test_one_turn_asks_again_after_a_window_and_the_others_do_not_wait_for_it(
    openai_double: OpenAIServer,
) -> None:
    asked = silent_before(openai_double)
    openai_double.play(Script(silent=True), Script.saying("Back."))
    probe = asyncio.ensure_future(answer(fallback([asked], PATIENT)))
    await openai_double.next_call()
    with pytest.raises(ProviderUnavailable):
        await answer(silent(asked))
    probe.cancel()
    await asyncio.wait([probe])
    assert await answer(silent(asked)) == "Back."
    assert not asked.breaker.is_open


async def test_what_is_asked_beside_the_turns_is_neither_a_probe_nor_a_witness(openai_double: OpenAIServer) -> None:
    asked = silent_before(openai_double)
    with pytest.raises(ProviderUnavailable):
        async for _ in asked.stream(MESSAGES):
            pass
    assert openai_double.calls == []


async def test_a_turn_that_has_little_time_left_does_not_take_silence_for_absence(openai_double: OpenAIServer) -> None:
    asked = guarded(openai_double)
    openai_double.play(Script(silent=True))
    with pytest.raises(ProviderTimeout):
        await answer(fallback([asked], Limits(first_token=5, stall=5, whole=0.1)))
    assert not asked.breaker.is_open
