import asyncio
import logging

import pytest

from lib.errors import ContextTooLong, ProviderError, ProviderRateLimited, ProviderRefused
from lib.providers.base import Options, PromptMessage, Text, TokenUsage
from lib.providers.gemini import GeminiProvider
from tests.doubles.gemini_server import BLOCKED, GEMINI, GeminiServer, failing
from tests.doubles.upstream import Script
from tests.providers.asking import QUESTION, Answer, ask, ask_in_vain

KEY = "a-google-key-that-nobody-may-read"
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36.2s"}


@pytest.fixture
def provider(gemini_double: GeminiServer) -> GeminiProvider:
    return GeminiProvider(KEY, "gemini-2.5-flash", gemini_double.url)


async def test_an_answer_streams_with_its_thoughts_and_its_usage_comes_last(
    gemini_double: GeminiServer, provider: GeminiProvider
) -> None:
    gemini_double.play(GEMINI.but(pieces=("Füße ", "🌱 [1]."), reasoning=("Hm", "."), write_size=3, line_end="\r\n"))
    assert await ask(provider) == Answer("Füße 🌱 [1].", "Hm.", TokenUsage(12, 4))


async def test_the_request_has_the_key_the_instructions_and_the_turns_of_both_sides(
    gemini_double: GeminiServer, provider: GeminiProvider
) -> None:
    await ask(
        provider,
        (
            PromptMessage("system", "Be brief."),
            PromptMessage("user", "Hello"),
            PromptMessage("assistant", "Hello!"),
            PromptMessage("user", "A passage."),
            PromptMessage("user", "A question."),
        ),
    )
    (call,) = gemini_double.calls
    assert call.path.endswith("/models/gemini-2.5-flash:streamGenerateContent")
    assert call.headers["x-goog-api-key"] == KEY
    assert call.body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert call.body["contents"] == [
        {"role": "user", "parts": [{"text": "Hello"}]},
        {"role": "model", "parts": [{"text": "Hello!"}]},
        {"role": "user", "parts": [{"text": "A passage."}, {"text": "A question."}]},
    ]


async def test_wishes_are_told_in_geminis_words(gemini_double: GeminiServer, provider: GeminiProvider) -> None:
    await ask(provider)
    await ask(
        provider,
        options=Options(
            temperature=0.2,
            top_p=0.5,
            max_tokens=7,
            presence_penalty=0.1,
            frequency_penalty=-0.1,
            seed=3,
            stop=("END",),
        ),
    )
    without, with_wishes = gemini_double.calls
    assert without.body.get("generationConfig", {}) == {}
    assert with_wishes.body["generationConfig"] == {
        "temperature": 0.2,
        "topP": 0.5,
        "maxOutputTokens": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.1,
        "seed": 3,
        "stopSequences": ["END"],
    }


@pytest.mark.parametrize(
    ("script", "ours"),
    [
        (failing(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"), ProviderRefused),
        (failing(403, "Your project has been denied access.", "PERMISSION_DENIED"), ProviderRefused),
        (failing(404, "models/x is not found for API version v1.", "NOT_FOUND"), ProviderRefused),
        (failing(429, "You exceeded your quota.", "RESOURCE_EXHAUSTED", RETRY_INFO), ProviderRateLimited),
        (
            failing(400, "The input token count (9) exceeds the maximum number of tokens allowed (8).", "INVALID"),
            ContextTooLong,
        ),
        (failing(400, "Contents are required.", "INVALID_ARGUMENT"), ProviderError),
        (failing(503, "The model is overloaded.", "UNAVAILABLE"), ProviderError),
        (GEMINI.but(status=502, raw=b"<html>", headers={"Content-Type": "text/html"}), ProviderError),
        (GEMINI.but(status=302, headers={"Location": "/elsewhere"}), ProviderError),
    ],
)
async def test_a_status_becomes_an_error_of_ours_after_one_request(
    gemini_double: GeminiServer, provider: GeminiProvider, script: Script, ours: type[ProviderError]
) -> None:
    gemini_double.play(script)
    _, error = await ask_in_vain(provider)
    assert type(error) is ours
    assert str(error) == ours.detail
    assert error.retry_after == (37 if ours is ProviderRateLimited else None)
    assert len(gemini_double.calls) == 1


@pytest.mark.parametrize(
    ("script", "kept", "detail"),
    [
        (BLOCKED, "", "filtered"),
        (GEMINI.but(finish_reason="SAFETY", pieces=("Hello",)), "Hello", "filtered"),
        (GEMINI.but(finish_reason="OTHER"), "Hello, world.", "could not answer"),
        (GEMINI.but(finish_reason=None), "Hello, world.", "in the middle"),
        (GEMINI.but(cut_at=0), "", "in the middle"),
        (GEMINI.but(cut_at=2), "Hello,", "in the middle"),
        (GEMINI.but(error_at=1), "Hello", "could not answer"),
        (GEMINI.but(raw=b"<html>"), "", "could not answer"),
        (GEMINI.but(raw=b"data: {\n\n"), "", "could not answer"),
        (GEMINI.but(raw=b'data: {"candidates": 3}\n\n'), "", "could not answer"),
    ],
)
async def test_an_answer_that_goes_wrong_is_an_error_after_what_came(
    gemini_double: GeminiServer, provider: GeminiProvider, script: Script, kept: str, detail: str
) -> None:
    gemini_double.play(script)
    answer, error = await ask_in_vain(provider)
    assert answer.text == kept
    assert detail in str(error)


async def test_an_answer_that_reached_its_length_is_an_answer(
    gemini_double: GeminiServer, provider: GeminiProvider
) -> None:
    gemini_double.play(GEMINI.but(finish_reason="MAX_TOKENS"))
    assert (await ask(provider)).text == "Hello, world."


async def test_an_answer_where_the_wish_for_a_stream_was_lost_is_an_answer(
    gemini_double: GeminiServer, provider: GeminiProvider
) -> None:
    body = b'[{"candidates": [{"content": {"parts": [{"text": "Ships."}]}, "finishReason": "STOP"}]}]'
    gemini_double.play(GEMINI.but(raw=body, headers={"Content-Type": "application/json; charset=UTF-8"}))
    assert (await ask(provider)).text == "Ships."


@pytest.mark.parametrize("model", ["../../v1/files", "models/../../files"])
async def test_no_name_of_a_model_leads_elsewhere(unused_tcp_port: int, model: str) -> None:
    _, error = await ask_in_vain(GeminiProvider(KEY, model, f"http://127.0.0.1:{unused_tcp_port}"))
    assert type(error) is ProviderRefused  # nobody was asked, who is not there


@pytest.mark.parametrize("model", ["a?key=b", "a#b", "a&b", "ü"])
async def test_any_other_name_of_a_model_is_asked_for_as_it_is(gemini_double: GeminiServer, model: str) -> None:
    await ask(GeminiProvider(KEY, model, gemini_double.url))
    assert gemini_double.calls[0].path == f"/v1/models/{model}:streamGenerateContent"


async def test_an_endpoint_that_is_not_there_is_an_error_at_once(unused_tcp_port: int) -> None:
    async with asyncio.timeout(5):
        _, error = await ask_in_vain(GeminiProvider(KEY, "m", f"http://127.0.0.1:{unused_tcp_port}"))
    assert type(error) is ProviderError


async def test_closing_the_stream_stops_the_model(gemini_double: GeminiServer, provider: GeminiProvider) -> None:
    gemini_double.play(GEMINI.but(stall_at=2))
    stream = provider.stream(QUESTION)
    assert await anext(stream) == Text("Hello")
    await stream.aclose()
    async with asyncio.timeout(1):
        await gemini_double.calls[0].gone.wait()


@pytest.mark.parametrize("script", [GEMINI.but(silent=True), GEMINI.but(stall_at=2)])
async def test_cancelling_the_turn_stops_the_model(
    gemini_double: GeminiServer, provider: GeminiProvider, script: Script
) -> None:
    gemini_double.play(script)
    turn = asyncio.ensure_future(ask(provider))
    call = await gemini_double.next_call()
    turn.cancel()
    async with asyncio.timeout(1):
        await call.gone.wait()


async def test_a_connection_is_used_again(gemini_double: GeminiServer, provider: GeminiProvider) -> None:
    for _ in range(3):
        await ask(provider)
    assert gemini_double.connections == 1


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_the_log_has_neither_key_nor_message(
    gemini_double: GeminiServer, provider: GeminiProvider, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    gemini_double.play(failing(status, f"Not with {KEY} for {QUESTION[1].content}", "INTERNAL"))
    with caplog.at_level(logging.DEBUG):
        await ask_in_vain(provider)
    assert "Not with" in caplog.text
    assert KEY not in caplog.text
    assert "harbour" not in caplog.text
