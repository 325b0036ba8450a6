import asyncio
import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from lib.errors import (
    AddressRefused,
    ContextTooLong,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
)
from lib.guarded import Guard
from lib.http import close_http_session
from lib.providers.base import Options, PromptMessage, Text, TokenUsage
from lib.providers.faults import faults_as_ours
from lib.providers.openai import OpenAIProvider
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.providers.asking import QUESTION, Answer, ask, ask_in_vain

KEY = "sk-a-key-that-nobody-may-read"


@pytest.fixture
def provider(openai_double: OpenAIServer) -> OpenAIProvider:
    return OpenAIProvider(openai_double.base_url, KEY, "gpt-4.1-mini")


async def test_an_answer_streams_and_its_usage_comes_last(
    openai_double: OpenAIServer, provider: OpenAIProvider
) -> None:
    openai_double.play(Script(pieces=("The ", "ferry [1]."), reasoning=("Hm", "."), usage=(7, 3)))
    assert await ask(provider) == Answer("The ferry [1].", "Hm.", TokenUsage(7, 3))


async def test_the_request_is_a_streamed_chat_completion(openai_double: OpenAIServer, provider: OpenAIProvider) -> None:
    await ask(provider)
    (call,) = openai_double.calls
    assert call.headers["Authorization"] == f"Bearer {KEY}"
    assert call.body == {
        "model": "gpt-4.1-mini",
        "messages": [{"role": message.role, "content": message.content} for message in QUESTION],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_an_endpoint_without_a_key_gets_no_authorization(openai_double: OpenAIServer) -> None:
    await ask(OpenAIProvider(openai_double.base_url, None, "m"))
    assert "Authorization" not in openai_double.calls[0].headers


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
async def test_tiny_writes_and_any_line_end_give_the_same_text(
    openai_double: OpenAIServer, provider: OpenAIProvider, line_end: str
) -> None:
    script = Script.saying("Füße 🌱 und\nZeilen [12]. ", write_size=1, line_end=line_end)
    openai_double.play(script)
    assert (await ask(provider)).text == script.text


async def test_texts_that_arrive_together_are_yielded_as_one(
    openai_double: OpenAIServer, provider: OpenAIProvider
) -> None:
    frames = b"".join(b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % digit for digit in range(10))
    openai_double.play(Script(raw=frames + b"data: [DONE]\n\n"))
    assert [chunk async for chunk in provider.stream(QUESTION)] == [Text("0123456789")]


async def test_an_endpoint_that_does_not_stream_is_understood(
    openai_double: OpenAIServer, provider: OpenAIProvider
) -> None:
    openai_double.play(Script(streams=False, reasoning=("Hm.",)))
    assert await ask(provider) == Answer("Hello, world.", "Hm.", TokenUsage(12, 4))


async def test_an_endpoint_that_rejects_stream_options_is_asked_without_and_remembered(
    openai_double: OpenAIServer, provider: OpenAIProvider
) -> None:
    openai_double.play(Script(rejects="stream_options"))
    for _ in range(2):
        assert await ask(provider) == Answer("Hello, world.", "", None)
    assert ["stream_options" in call.body for call in openai_double.calls] == [True, False, False]


@pytest.mark.parametrize(
    ("refused", "fields"),
    [
        ("max_tokens", [{"max_tokens", "seed"}, {"max_completion_tokens", "seed"}, {"max_completion_tokens", "seed"}]),
        ("seed", [{"max_tokens", "seed"}, {"max_tokens"}, {"max_tokens"}]),
    ],
)
async def test_a_wish_that_is_refused_is_told_otherwise_or_left_out_and_remembered(
    openai_double: OpenAIServer, provider: OpenAIProvider, refused: str, fields: list[set[str]]
) -> None:
    openai_double.play(Script(rejects=refused))
    for _ in range(2):
        assert (await ask(provider, options=Options(max_tokens=7, seed=1))).text == "Hello, world."
    asked = [call.body.keys() & {"max_tokens", "max_completion_tokens", "seed"} for call in openai_double.calls]
    assert asked == fields


async def test_wishes_are_told_and_when_a_message_was_said_is_not(
    openai_double: OpenAIServer, provider: OpenAIProvider
) -> None:
    said = PromptMessage("user", "Hi", datetime(2025, 1, 1, tzinfo=UTC))
    await ask(provider, (said,), Options(temperature=0.2, stop=("END",)))
    body = openai_double.calls[0].body
    assert body["messages"] == [{"role": "user", "content": "Hi"}]
    assert (body["temperature"], body["stop"]) == (0.2, ["END"])


async def test_a_refusal_for_good_is_asked_no_second_time(
    openai_double: OpenAIServer, provider: OpenAIProvider
) -> None:
    openai_double.play(Script(status=400, error=fault("temperature must be at most 2")))
    with pytest.raises(ProviderError):
        await ask(provider, options=Options(temperature=9))
    assert len(openai_double.calls) == 1


async def test_a_teams_own_endpoint_is_asked_through_the_guard(openai_double: OpenAIServer) -> None:
    def own(allowed: str) -> OpenAIProvider:
        guard = Guard(frozenset({allowed}), https_only=True)
        return OpenAIProvider(openai_double.base_url, KEY, "m", send=guard.send)

    assert (await ask(own("127.0.0.1"))).text == "Hello, world."
    with pytest.raises(AddressRefused):
        await ask(own("elsewhere.example"))
    assert len(openai_double.calls) == 1


async def test_a_body_left_open_after_its_end_is_a_whole_answer(
    openai_double: OpenAIServer, provider: OpenAIProvider
) -> None:
    openai_double.play(Script(keeps_open=True))
    assert await ask(provider) == Answer("Hello, world.", "", TokenUsage(12, 4))


async def test_a_connection_is_used_again(openai_double: OpenAIServer, provider: OpenAIProvider) -> None:
    for _ in range(3):
        await ask(provider)
    assert openai_double.connections == 1


async def test_a_kept_connection_that_the_server_closed_is_replaced() -> None:
    """A warm instance that slept finds its connections closed at the moment that it writes to them."""
    requests: list[int] = []
    accepted = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        own = accepted
        while await _request_arrives(reader):
            requests.append(own)
            if requests == [1, 1]:
                break
            body = b'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\n'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        provider = OpenAIProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None, "m")
        assert [(await ask(provider)).text, (await ask(provider)).text] == ["Hello", "Hello"]
        assert requests == [1, 1, 2]
        await close_http_session()


async def test_an_answer_that_has_ended_is_whole_however_long_the_server_keeps_talking() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request_arrives(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        writer.write(b'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\n')
        while not writer.is_closing():
            writer.write(b": ping\n\n")
            await asyncio.sleep(0.1)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        provider = OpenAIProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None, "m")
        async with asyncio.timeout(5):
            assert (await ask(provider)).text == "Hello"


async def test_a_server_that_hangs_up_on_a_new_connection_is_not_asked_twice() -> None:
    requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += await _request_arrives(reader)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        provider = OpenAIProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "sk-secret", "m")
        with pytest.raises(ProviderError):
            await ask(provider)
    assert requests == 1


async def test_an_answer_that_is_no_http_is_logged_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request_arrives(reader)
        writer.write(b"garbage\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        provider = OpenAIProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "sk-secret", "m")
        with pytest.raises(ProviderError):
            await ask(provider)
    assert "provider_error" in caplog.text
    assert "sk-secret" not in caplog.text


async def _request_arrives(reader: asyncio.StreamReader) -> bool:
    """Read one request; return whether there was one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length
    await reader.readexactly(int(length[1]))
    return True


def fault(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("status", "error", "ours"),
    [
        (401, fault("Incorrect API key provided.", code="invalid_api_key"), ProviderRefused),
        (403, fault("Country not supported."), ProviderRefused),
        (404, fault("The model does not exist.", code="model_not_found"), ProviderRefused),
        (400, [fault("API key not valid. Please pass a valid API key.", code=400)], ProviderRefused),
        (429, fault("Rate limit reached.", code="rate_limit_exceeded"), ProviderRateLimited),
        (400, fault("Too many tokens.", code="context_length_exceeded"), ContextTooLong),
        (400, fault("It exceeds.", type="exceed_context_size_error", code=400), ContextTooLong),
        (400, {"object": "error", "message": "This model's maximum context length is 8192 tokens."}, ContextTooLong),
        (400, fault("Unknown parameter."), ProviderError),
        (422, {"detail": [{"input": "What is in the harbour?"}]}, ProviderError),
        (500, fault("Internal error."), ProviderError),
        (503, {"error": "Loading model"}, ProviderError),
        (302, fault("Elsewhere."), ProviderError),
        (204, {}, ProviderError),
    ],
)
async def test_a_status_becomes_an_error_of_ours(
    openai_double: OpenAIServer, provider: OpenAIProvider, status: int, error: Any, ours: type[ProviderError]
) -> None:
    openai_double.play(Script(status=status, error=error, headers={"Location": openai_double.url}))
    with pytest.raises(ProviderError) as raised:
        await ask(provider)
    assert type(raised.value) is ours
    assert str(raised.value) == ours.detail
    assert len(openai_double.calls) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0.2", 1), ("0", None), ("-3", None), ("86400", None), ("nan", None), ("Wed, 21 Oct 2026", None)],
)
async def test_a_sane_retry_after_is_passed_on(
    openai_double: OpenAIServer, provider: OpenAIProvider, header: str, seconds: int | None
) -> None:
    openai_double.play(Script(status=429, headers={"Retry-After": header}))
    with pytest.raises(ProviderRateLimited) as raised:
        await ask(provider)
    assert raised.value.retry_after == seconds


@pytest.mark.parametrize(
    ("script", "kept", "detail"),
    [
        (Script(cut_at=0), "", "in the middle"),
        (Script(cut_at=2), "Hello,", "in the middle"),
        (Script(done=False, finish_reason=None), "Hello, world.", "in the middle"),
        (Script(error_at=2), "Hello,", "could not answer"),
        (Script(pieces=(), finish_reason="content_filter"), "", "filtered"),
        (Script(raw=b"<html>Bad gateway</html>"), "", "in the middle"),
        (Script(raw=b'data: {"choices": "none"}\n\n'), "", "could not answer"),
        (Script(raw=b"\xff\xfe\x00"), "", "in the middle"),
        (Script(raw=b'{"detail": "no"}', headers={"Content-Type": "application/json"}), "", "in the middle"),
    ],
)
async def test_an_answer_that_goes_wrong_is_an_error_after_what_came(
    openai_double: OpenAIServer, provider: OpenAIProvider, script: Script, kept: str, detail: str
) -> None:
    openai_double.play(script)
    answer, error = await ask_in_vain(provider)
    assert answer.text == kept
    assert detail in str(error)


async def test_an_endpoint_that_is_not_there_is_an_error(unused_tcp_port: int) -> None:
    with pytest.raises(ProviderError):
        await ask(OpenAIProvider(f"http://127.0.0.1:{unused_tcp_port}/v1", None, "m"))


def test_a_connection_that_takes_too_long_is_a_timeout() -> None:
    with pytest.raises(ProviderTimeout), faults_as_ours("m", ()):
        raise aiohttp.ConnectionTimeoutError


async def test_closing_the_stream_stops_the_model(openai_double: OpenAIServer, provider: OpenAIProvider) -> None:
    openai_double.play(Script(stall_at=2))
    stream = provider.stream(QUESTION)
    assert await anext(stream) == Text("Hello")
    await stream.aclose()
    async with asyncio.timeout(1):
        await openai_double.calls[0].gone.wait()
    assert openai_double.calls[0].sent == 2


@pytest.mark.parametrize("script", [Script(silent=True), Script(stall_at=0), Script(stall_at=3)])
async def test_cancelling_the_turn_stops_the_model(
    openai_double: OpenAIServer, provider: OpenAIProvider, script: Script
) -> None:
    openai_double.play(script)
    turn = asyncio.ensure_future(ask(provider))
    call = await openai_double.next_call()
    turn.cancel()
    async with asyncio.timeout(1):
        await call.gone.wait()
    assert turn.cancelled()


async def test_a_model_that_was_not_named_is_asked_for_once(openai_double: OpenAIServer) -> None:
    openai_double.models = ["qwen-3", "other"]
    provider = OpenAIProvider(openai_double.base_url, None, None)
    assert provider.model == ""
    await ask(provider)
    openai_double.models = ["changed"]
    await ask(provider)
    assert provider.model == "qwen-3"
    assert [call.body["model"] for call in openai_double.calls] == ["qwen-3", "qwen-3"]


async def test_an_endpoint_without_any_model_is_an_error(openai_double: OpenAIServer) -> None:
    openai_double.models = []
    with pytest.raises(ProviderError, match="has no model"):
        await ask(OpenAIProvider(openai_double.base_url, None, None))


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_the_log_has_the_vendor_s_words_and_neither_key_nor_message(
    openai_double: OpenAIServer, provider: OpenAIProvider, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    secret = "My account is 4711\nand nobody may know."
    words = f"Bad request with {KEY} and {secret}" + "!" * 1000
    openai_double.play(Script(status=status, error=fault(words, code="bad_thing")))
    with caplog.at_level(logging.DEBUG), pytest.raises(ProviderError):
        await ask(provider, (PromptMessage("user", secret),))
    (record,) = (record for record in caplog.records if record.name == "parley.providers")
    assert record.levelno == logging.WARNING
    assert "bad_thing Bad request" in record.getMessage()
    assert len(record.getMessage()) < 400
    assert all(hidden not in caplog.text for hidden in (KEY, "4711", "nobody"))


@pytest.mark.parametrize("ending", [b"", b"," + b"x" * 100_000])
async def test_json_that_repeats_the_prompt_stays_out_of_the_log(
    openai_double: OpenAIServer, provider: OpenAIProvider, caplog: pytest.LogCaptureFixture, ending: bytes
) -> None:
    secret = "My account is 4711."
    body = json.dumps({"detail": [{"loc": ["body"], "input": repr(secret)[3:]}]}).encode()
    openai_double.play(Script(status=422, raw=body + ending, headers={"Content-Type": "application/json"}))
    with caplog.at_level(logging.DEBUG), pytest.raises(ProviderError):
        await ask(provider, (PromptMessage("user", secret),))
    assert "4711" not in caplog.text


async def test_the_body_of_an_error_is_read_within_bounds(
    openai_double: OpenAIServer, provider: OpenAIProvider
) -> None:
    openai_double.play(Script(status=500, raw=b"x" * 10_000_000))
    with pytest.raises(ProviderError):
        await ask(provider)
