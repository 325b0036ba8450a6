"""A webhook that answers: what it is asked, and what becomes of what it sends."""

import asyncio
import gzip
import logging
import tracemalloc
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from lib.errors import AddressRefused, ProviderError, ProviderRateLimited, WebhookEmpty, WebhookFailed, WebhookRefused
from lib.guarded import Guard
from lib.http import close_http_session
from lib.providers.base import Options, PromptMessage, Text, TokenUsage
from lib.providers.fallback import Fallback, Limits
from lib.providers.webhook import EXCERPT_CHARACTERS, WebhookProvider
from lib.providers.webhook_reply import REPLY_LIMIT
from tests.doubles.webhook_server import WebhookServer
from tests.providers.asking import Answer, ask, ask_in_vain
from tests.providers.recorded import RECORDED

LOCAL = Guard(frozenset({"127.0.0.1"}), https_only=True)
TOKEN = "secret_token_123"
CONFIG = {"model": "gpt-4", "temperature": 0.7}
NOON = datetime(2025, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
MESSAGES = (
    PromptMessage("system", "Passages that were found."),
    PromptMessage("user", "Hello", datetime(2025, 1, 1, 10, tzinfo=UTC)),
    PromptMessage("assistant", "Hi!", NOON),
    PromptMessage("user", "What is in the harbour?"),
)
HTML = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head></html>"


@pytest.fixture
async def webhook() -> AsyncGenerator[WebhookServer]:
    async with WebhookServer() as server:
        yield server
        await close_http_session()


def provider(
    webhook: WebhookServer, *, guard: Guard = LOCAL, token: str | None = TOKEN, **config: Any
) -> WebhookProvider:
    return WebhookProvider(
        webhook.url, token, "You are a helpful assistant.", CONFIG | config, "conversation-7", send=guard.send
    )


async def test_the_request_is_the_documents(webhook: WebhookServer) -> None:
    await ask(provider(webhook), MESSAGES)
    (call,) = webhook.calls
    assert call.path == "/webhook/support-bot"
    assert call.headers["Authorization"] == f"Bearer {TOKEN}"
    assert call.headers["Content-Type"] == "application/json"
    assert call.body == {
        "messages": [
            {"role": "user", "content": "Hello", "timestamp": "2025-01-01T10:00:00.000Z"},
            {"role": "assistant", "content": "Hi!", "timestamp": "2025-01-01T10:00:00.000Z"},
            {"role": "user", "content": "What is in the harbour?"},
        ],
        "system_prompt": "You are a helpful assistant.",
        "config": CONFIG,
    }


async def test_a_chat_trigger_is_sent_the_last_message_and_whose_conversation_it_is(webhook: WebhookServer) -> None:
    webhook.replies(b'{"output":"Ships."}')
    assert (await ask(provider(webhook, trigger="chat"), MESSAGES)).text == "Ships."
    assert webhook.calls[0].body == {
        "action": "sendMessage",
        "sessionId": "conversation-7",
        "chatInput": "What is in the harbour?",
    }


async def test_a_webhook_without_a_token_gets_no_authorization(webhook: WebhookServer) -> None:
    await ask(provider(webhook, token=None))
    assert "Authorization" not in webhook.calls[0].headers


async def test_options_of_models_are_not_for_webhooks(webhook: WebhookServer) -> None:
    _ = [chunk async for chunk in provider(webhook).stream(MESSAGES, Options(temperature=1.5))]
    assert webhook.calls[0].body["config"] == CONFIG


async def test_text_is_told_as_it_arrives(webhook: WebhookServer) -> None:
    gate = asyncio.Semaphore(1)
    webhook.replies(b'data: {"content":"Hi"}\n\n', b'data: {"content":" there"}\n\n', b"data: [DONE]\n\n", gate=gate)
    stream = provider(webhook).stream(MESSAGES)
    assert await anext(stream) == Text("Hi")
    gate.release()
    assert await anext(stream) == Text(" there")
    gate.release()
    assert [chunk async for chunk in stream] == []


async def test_a_body_left_open_after_its_end_is_a_whole_answer(webhook: WebhookServer) -> None:
    webhook.replies(b'data: {"content":"Hi"}\n\ndata: [DONE]\n\n', keeps_open=True)
    async with asyncio.timeout(5):
        assert (await ask(provider(webhook))).text == "Hi"


async def test_usage_comes_last_where_a_reply_tells_it(webhook: WebhookServer) -> None:
    webhook.replies(b'{"content":"Hi","usage":{"prompt_tokens":7,"completion_tokens":3}}')
    assert await ask(provider(webhook)) == Answer("Hi", "", TokenUsage(7, 3))


async def test_a_test_is_told_how_a_reply_was_understood(webhook: WebhookServer) -> None:
    webhook.replies(
        b'{"type":"begin"}\n{"type":"item","content":"Hi"}\n', b'{"type":"end"}\n', content_type="application/json"
    )
    asked = provider(webhook)
    assert (asked.shape, asked.status, asked.content_type, asked.excerpt) == ("empty", None, None, "")
    await ask(asked)
    assert (asked.shape, asked.status, asked.content_type) == ("ndjson", 200, "application/json")
    assert asked.excerpt == '{"type":"begin"}\n{"type":"item","content":"Hi"}\n{"type":"end"}\n'


async def test_an_excerpt_is_short_and_hides_the_token(webhook: WebhookServer) -> None:
    webhook.replies(f"You sent {TOKEN}. ".encode() + "é".encode() * 5000)
    asked = provider(webhook)
    await ask(asked)
    assert TOKEN not in asked.excerpt
    assert asked.excerpt.startswith("You sent [...]. éé")
    assert len(asked.excerpt) == EXCERPT_CHARACTERS


def test_a_webhook_goes_by_the_model_that_its_settings_name() -> None:
    def named(config: dict[str, Any]) -> str:
        return WebhookProvider("https://n8n.example.com/", None, "", config, "c", send=LOCAL.send).model

    assert (named({"model": "gpt-4"}), named({}), named({"model": 4})) == ("gpt-4", "webhook", "webhook")


@pytest.mark.parametrize(
    ("reply", "kind", "words", "shape"),
    [
        ({"status": 200, "pieces": ()}, WebhookEmpty, "without a text", "empty"),
        ({"status": 204, "pieces": ()}, WebhookEmpty, "without a text", "empty"),
        ({"status": 200, "pieces": (HTML,)}, WebhookFailed, "web page", "html"),
        ({"status": 502, "pieces": (HTML,)}, WebhookFailed, "status 502", "html"),
        ({"status": 500, "pieces": (b'{"message":"Error in workflow"}',)}, WebhookFailed, "status 500", "error"),
        ({"status": 400, "pieces": (b"no",)}, WebhookFailed, "status 400", "error"),
        ({"status": 401, "pieces": (b"",)}, WebhookRefused, "does not accept the agent's token", "error"),
        ({"status": 403, "pieces": (b"Authorization data is wrong!",)}, WebhookRefused, "does not accept", "error"),
        (
            {"status": 404, "pieces": (b'{"code":404,"message":"The requested webhook is not registered."}',)},
            WebhookRefused,
            "no webhook",
            "error",
        ),
        ({"status": 429, "headers": {"Retry-After": "7"}}, ProviderRateLimited, "busy", "error"),
        ({"status": 302, "headers": {"Location": "http://169.254.169.254/"}}, WebhookFailed, "redirects", "error"),
        ({"status": 307, "headers": {"Location": "/elsewhere"}}, WebhookFailed, "redirects", "error"),
    ],
)
async def test_what_is_no_answer_is_an_error_that_says_what_to_mend(
    webhook: WebhookServer, reply: dict[str, Any], kind: type[ProviderError], words: str, shape: str
) -> None:
    webhook.replies(*reply.pop("pieces", (b"",)), **reply)
    asked = provider(webhook)
    answer, error = await ask_in_vain(asked)
    assert (answer.text, type(error)) == ("", kind)
    assert words in str(error)
    assert error.retry_after == (7 if kind is ProviderRateLimited else None)
    assert (asked.status, asked.shape) == (webhook.reply.status, shape)
    assert len(webhook.calls) == 1


NO_WEBHOOK = "There is no webhook at the agent's address. Is its workflow active, and does it take POST?"
NO_TOKEN = "The agent's webhook does not accept the agent's token."
STATUS_500 = "The agent's webhook failed with status 500."
REFUSALS: dict[str, tuple[type[ProviderError], str]] = {
    "unknown": (WebhookRefused, NO_WEBHOOK),
    "wrong_method": (WebhookRefused, NO_WEBHOOK),
    "wrong_token": (WebhookRefused, NO_TOKEN),
    "no_token": (WebhookRefused, NO_TOKEN),
    "fails": (WebhookFailed, STATUS_500),
    "model_fails": (WebhookFailed, STATUS_500),
    "never_responds": (WebhookFailed, STATUS_500),
    "no_items": (WebhookFailed, STATUS_500),
}
"""What each recorded reply with a status of failure is."""


def test_every_refusal_that_was_recorded_is_here() -> None:
    assert set(REFUSALS) == {name for name, reply in RECORDED.items() if reply.status // 100 != 2}


@pytest.mark.parametrize(("name", "refusal"), REFUSALS.items())
async def test_a_refusal_of_n8n_says_what_to_mend(
    webhook: WebhookServer, name: str, refusal: tuple[type[ProviderError], str]
) -> None:
    reply = RECORDED[name]
    webhook.replies(*reply.pieces, status=reply.status, content_type=reply.content_type or "")
    asked = provider(webhook)
    answer, error = await ask_in_vain(asked)
    assert (answer.text, type(error), str(error)) == ("", *refusal)
    assert (asked.shape, asked.excerpt) == ("error", reply.body.decode()[:EXCERPT_CHARACTERS])


async def test_a_stream_of_n8n_is_an_answer(webhook: WebhookServer) -> None:
    reply = RECORDED["streaming_twice"]
    webhook.replies(*reply.pieces, content_type=reply.content_type)
    asked = provider(webhook)
    assert (await ask(asked)).text == "Ich heiße Ana 🌱.\n\nUnd du?"
    assert (asked.shape, asked.content_type) == ("ndjson", "application/json; charset=utf-8")


async def test_the_body_of_an_error_is_kept_for_whoever_tests_the_agent(webhook: WebhookServer) -> None:
    webhook.replies(b"Authorization data is wrong!", status=403)
    asked = provider(webhook)
    await ask_in_vain(asked)
    assert asked.excerpt == "Authorization data is wrong!"


async def test_a_reply_that_breaks_off_keeps_what_came(webhook: WebhookServer) -> None:
    webhook.replies(b'data: {"content":"Hi"}\n\n', cut=True)
    answer, error = await ask_in_vain(provider(webhook))
    assert (answer.text, type(error), "in the middle" in str(error)) == ("Hi", WebhookFailed, True)


async def test_a_webhook_that_is_not_there_is_an_error(unused_tcp_port: int) -> None:
    asked = WebhookProvider(f"http://127.0.0.1:{unused_tcp_port}/", TOKEN, "", {}, "c", send=LOCAL.send)
    _, error = await ask_in_vain(asked)
    assert (type(error), str(error)) == (WebhookFailed, "The agent's webhook cannot be reached.")


@pytest.mark.parametrize("sent", [b"", b"hello\r\n\r\n"])
async def test_a_server_that_speaks_no_http_is_an_error(sent: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        _, error = await ask_in_vain(WebhookProvider(url, TOKEN, "", {}, "c", send=LOCAL.send))
        assert type(error) is WebhookFailed
        await close_http_session()


async def test_a_token_that_no_header_takes_is_an_error_that_does_not_tell_it(webhook: WebhookServer) -> None:
    _, error = await ask_in_vain(provider(webhook, token="secret\r\nX-Other: yes"))
    assert type(error) is WebhookFailed
    assert "secret" not in str(error)
    assert webhook.calls == []


async def test_a_private_address_is_refused_as_such(webhook: WebhookServer) -> None:
    _, error = await ask_in_vain(provider(webhook, guard=Guard(frozenset(), https_only=False)))
    assert type(error) is AddressRefused
    assert webhook.calls == []


async def test_closing_the_stream_hangs_up_on_the_workflow(webhook: WebhookServer) -> None:
    webhook.replies(b'data: {"content":"Hi"}\n\n', keeps_open=True)
    stream = provider(webhook).stream(MESSAGES)
    assert await anext(stream) == Text("Hi")
    await stream.aclose()
    async with asyncio.timeout(5):
        await webhook.calls[0].gone.wait()


async def test_a_webhook_is_asked_once_however_it_fails(webhook: WebhookServer) -> None:
    for reply in ({"status": 500}, {"status": 200}, {"status": 200, "cut": True}):
        webhook.calls.clear()
        webhook.replies(**reply)
        began = asyncio.get_running_loop().time()
        asked = Fallback([provider(webhook)], Limits.of(5), began=began, again=False)
        with pytest.raises(ProviderError):
            _ = [chunk async for chunk in asked.stream(MESSAGES)]
        assert len(webhook.calls) == 1


async def test_a_webhook_is_not_asked_twice_over_a_connection_that_was_closed(webhook: WebhookServer) -> None:
    for _ in range(3):
        await ask(provider(webhook))
    assert (webhook.connections, len(webhook.calls)) == (3, 3)


async def test_the_log_has_no_secret_and_nothing_that_was_said(
    webhook: WebhookServer, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.replies(f"{TOKEN} What is in the harbour?".encode(), status=500)
    with caplog.at_level(logging.DEBUG):
        await ask_in_vain(provider(webhook))
    (record,) = (record for record in caplog.records if record.name == "parley.providers")
    assert "webhook_failed: The agent's webhook failed with status 500." in record.getMessage()
    assert all(hidden not in caplog.text for hidden in (TOKEN, "harbour", "support-bot"))


@pytest.mark.parametrize(
    "part",
    [b"word " * 10_000, b'{"content":"%b"}\n' % (b"word " * 1000), b'data: {"content":"%b"}\n\n' % (b"word " * 1000)],
    ids=["text", "NDJSON", "SSE"],
)
async def test_50_mb_are_cut_at_8_and_the_server_is_hung_up_on(webhook: WebhookServer, part: bytes) -> None:
    webhook.replies(endless=part, most=50_000_000)
    answer, error = await ask_in_vain(provider(webhook))
    assert type(error) is WebhookFailed
    assert "8 MB" in str(error)
    assert REPLY_LIMIT * 0.9 < len(answer.text) <= REPLY_LIMIT
    async with asyncio.timeout(5):
        await webhook.calls[0].gone.wait()
    assert webhook.calls[0].sent < 20_000_000


@pytest.mark.parametrize(
    ("start", "endless"),
    [(b'{"content":"', b"x" * 65536), (b"data: ", b"x" * 65536), (b"", b" " * 65536), (b"{\n", b'"a":\n' * 10_000)],
    ids=["JSON on one line", "SSE on one line", "blanks", "JSON without an end"],
)
async def test_an_endless_reply_without_any_text_is_cut_in_bounded_memory(
    webhook: WebhookServer, start: bytes, endless: bytes
) -> None:
    webhook.replies(start, endless=endless)
    with peak() as taken:
        answer, error = await ask_in_vain(provider(webhook))
    assert (answer.text, type(error)) == ("", WebhookFailed)
    assert taken[0] < 10_000_000


async def test_a_bomb_of_zeros_is_cut_in_bounded_memory(webhook: WebhookServer) -> None:
    webhook.replies(gzip.compress(b"0" * 200_000_000, 9), headers={"Content-Encoding": "gzip"})
    seen = 0
    with peak() as taken, pytest.raises(WebhookFailed, match="8 MB"):
        async for chunk in provider(webhook).stream(MESSAGES):
            assert isinstance(chunk, Text)
            seen += len(chunk.text)
    assert seen == REPLY_LIMIT
    assert taken[0] < 10_000_000


@contextmanager
def peak() -> Generator[list[int]]:
    """Say, once it is over, how many bytes were taken at most besides those that were taken before."""
    taken = [0]
    tracemalloc.start()
    try:
        yield taken
        taken[0] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
