"""However the network cuts an answer, what is understood of it is the same, and what goes wrong with it is, too."""

import asyncio
import json
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lib.errors import ProviderError
from lib.guarded import Guard
from lib.http import close_http_session
from lib.providers.base import Chunk, Provider, Text
from lib.providers.completion import CompletionReader
from lib.providers.gemini import GeminiProvider
from lib.providers.gemini_answer import GeminiReader
from lib.providers.openai import OpenAIProvider
from lib.providers.sse import DataLines, Lines
from lib.providers.webhook import WebhookProvider
from lib.providers.webhook_reply import WebhookReply
from tests.golden.upstream import Answer, Read, Upstream
from tests.providers.asking import QUESTION
from tests.providers.recorded import RECORDED
from tests.providers.splitting import (
    FAILURES,
    Event,
    Outcome,
    body_of,
    cuts,
    events,
    expected,
    gemini_events,
    one_by_one,
    outcome,
)

LOCAL: Final = Guard(frozenset({"127.0.0.1"}), https_only=False)
ASIDES: Final = st.sampled_from(
    [b": ping", b"event: message", b"id: 1", b"", b"data: [DONE]", b"[DONE]", b"\xef\xbb\xbf", b"<p>"]
)
OTHERS: Final[tuple[dict[str, Any], ...]] = (
    {"type": "begin"},
    {"type": "end"},
    {"error": {"message": "no"}},
    {"usage": {"input_tokens": 1, "output_tokens": 2}},
    {"a": 1},
)


def completion(reads: Iterable[bytes], *, streamed: bool = True) -> Outcome:
    """Return what is understood of a completion that arrives in these reads."""
    reader, chunks = CompletionReader(streamed=streamed), list[Chunk]()
    try:
        for data in reads:
            for chunk in reader.feed(data):
                chunks.append(chunk)
        chunks += reader.close()
    except FAILURES as failure:
        return outcome(chunks, reader.usage, failure)
    return outcome(chunks, reader.usage)


@given(data=st.data(), stream=events())
def test_a_streamed_completion(data: st.DataObject, stream: list[Event]) -> None:
    body = body_of(stream)
    told = expected(stream)
    assert completion([body]) == told
    assert completion(one_by_one(body)) == told
    assert completion(data.draw(cuts(body))) == told


def gemini(reads: Iterable[bytes]) -> Outcome:
    """Return what is understood of an answer of Gemini's that arrives in these reads."""
    reader, chunks = GeminiReader(), list[Chunk]()
    reader.begin()
    try:
        for data in reads:
            for chunk in reader.feed(data):
                chunks.append(chunk)
        chunks += reader.close()
    except FAILURES as failure:
        return outcome(chunks, reader.usage, failure)
    return outcome(chunks, reader.usage)


@given(data=st.data(), stream=gemini_events(), tail=st.sampled_from([b"", b": ping\n", b"id: 1\r\n", b"{oh\n", b"\r"]))
def test_a_stream_of_gemini_s(data: st.DataObject, stream: list[Event], tail: bytes) -> None:
    body = body_of(stream) + tail
    told, whole = expected(stream), gemini([body])
    assert (whole.said, whole.failure == "") == (told.said, told.failure == "")
    assert whole.usage == told.usage or whole.failure
    assert gemini(one_by_one(body)) == whole
    assert gemini(data.draw(cuts(body))) == whole


@given(data=st.data(), text=st.text(), thought=st.text(max_size=3), ends=st.booleans())
def test_a_completion_in_one_piece(data: st.DataObject, text: str, thought: str, ends: bool) -> None:
    message = {"reasoning_content": thought, "content": text}
    choice = {"message": message, "finish_reason": "stop" if ends else None}
    body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3}}, ensure_ascii=False).encode()
    whole = completion([body], streamed=False)
    assert (whole.failure == "") is ends
    assert [said for _, said in whole.said] == [piece for piece in (thought, text) if piece and ends]
    assert completion(data.draw(cuts(body)), streamed=False) == whole


@st.composite
def in_lines(draw: st.DrawFn) -> bytes:
    """Bytes with ends of lines in them, and with what may be taken for one."""
    parts = [b"\r", b"\n", b"\r\n", b"data:", b"data: ", b" ", b"x", b"\xf0\x9f", b"\x8c\xb1", b":"]
    return b"".join(draw(st.lists(st.sampled_from(parts))))


@given(data=st.data(), body=in_lines())
def test_lines(data: st.DataObject, body: bytes) -> None:
    *ended, rest = body.split(b"\n")
    for reads in ([body], one_by_one(body), data.draw(cuts(body))):
        reader = Lines()
        assert [line for read in reads for line in reader.feed(read)] == [line.removesuffix(b"\r") for line in ended]
        assert reader.close() == rest


@given(data=st.data(), body=in_lines())
def test_the_data_of_an_event_stream(data: st.DataObject, body: bytes) -> None:
    *ended, _ = body.split(b"\n")
    told = [line[5:].strip() for line in ended if line.startswith(b"data:") and line[5:].strip()]
    for reads in ([body], one_by_one(body), data.draw(cuts(body))):
        reader = DataLines()
        assert [payload for read in reads for payload in reader.feed(read)] == told


def reply(reads: Sequence[bytes]) -> tuple[Outcome, str, bool]:
    """Return what is understood of a webhook's reply that arrives in these reads: also its shape, and if it ended."""
    reader, chunks = WebhookReply(), list[Chunk]()
    try:
        for data in reads:
            chunks += map(Text, reader.feed(data))
        chunks += map(Text, reader.close())
    except ProviderError as failure:
        return outcome(chunks, reader.said.usage, failure), reader.said.shape, reader.said.ended
    return outcome(chunks, reader.said.usage), reader.said.shape, reader.said.ended


@st.composite
def spelled(draw: st.DrawFn) -> bytes:
    """A value as JSON."""
    text = draw(st.text(max_size=5) | st.sampled_from(["🌱", "[DONE]", '{"a":1}', "\r\n"]))
    value = draw(st.sampled_from([{"type": "item", "content": text}, {"content": text}, *OTHERS]))
    return json.dumps(value, ensure_ascii=draw(st.booleans())).encode()


@st.composite
def framed(draw: st.DrawFn) -> bytes:
    """A line of an event stream."""
    return draw(st.sampled_from([b"data: ", b"data:"])) + draw(spelled() | st.binary(max_size=6))


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """A webhook's reply: lines of JSON or of text, framed as events or not, and what stands between such lines."""
    lines = draw(st.lists(spelled() | ASIDES, max_size=5) | st.lists(framed() | ASIDES, max_size=5))
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"]))
    return end.join([*lines, b""] if draw(st.booleans()) else lines)


def test_a_webhook_s_reply_with_a_blank_line_before_its_first_data() -> None:
    body = b': ping\r\n\r\ndata: {"content":"Hi"}\r\n\r\n'
    assert reply(one_by_one(body)) == reply([body])


@given(data=st.data(), body=replies() | st.sampled_from([each.body for each in RECORDED.values()]))
def test_a_webhook_s_reply(data: st.DataObject, body: bytes) -> None:
    told = reply([body])
    assert reply(one_by_one(body)) == told
    assert reply(data.draw(cuts(body))) == told


# Over HTTP, where what a provider reads at once is the network's to decide


@dataclass(frozen=True)
class Network:
    """An upstream in an event loop of its own, and providers that ask it."""

    runner: asyncio.Runner
    upstream: Upstream

    def ask(self, provider: Provider, reads: Sequence[bytes], *, cut: bool, content_type: str) -> Outcome:
        """Return what comes of an answer that is sent like this, its connection cut or ended in order."""
        parts = tuple(Read(part) for part in reads if part)
        self.upstream.answer = Answer(parts, content_type=content_type, end="cut" if cut else "whole")
        return self.runner.run(self._ask(provider))

    @staticmethod
    async def _ask(provider: Provider) -> Outcome:
        chunks = list[Chunk]()
        try:
            async for chunk in provider.stream(QUESTION):
                chunks.append(chunk)
        except ProviderError as failure:
            return outcome(chunks, failure=failure)
        return outcome(chunks)


@pytest.fixture(scope="module")
def network() -> Generator[Network]:
    with asyncio.Runner() as runner:
        upstream = Upstream()
        runner.run(upstream.__aenter__())
        yield Network(runner, upstream)
        runner.run(close_http_session())
        runner.run(upstream.__aexit__())


FEWER: Final = settings(max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""A question takes milliseconds, so that to look for the smallest that fails would take minutes."""


@FEWER
@given(data=st.data(), stream=events(), cut=st.booleans())
def test_a_model_behind_an_openai_compatible_endpoint(
    network: Network, data: st.DataObject, stream: list[Event], cut: bool
) -> None:
    body = body_of(stream)
    provider = OpenAIProvider(f"{network.upstream.url}/v1", "key", "m")
    whole = network.ask(provider, [body], cut=cut, content_type="text/event-stream")
    told = expected(stream)
    assert whole.said == told.said
    assert (whole.failure == "") is (told.failure == "")
    assert network.ask(provider, data.draw(cuts(body)), cut=cut, content_type="text/event-stream") == whole


@FEWER
@given(data=st.data(), stream=gemini_events(), cut=st.booleans())
def test_a_gemini_model(network: Network, data: st.DataObject, stream: list[Event], cut: bool) -> None:
    body = body_of(stream)
    provider = GeminiProvider("key", "m", network.upstream.url)
    whole = network.ask(provider, [body], cut=cut, content_type="text/event-stream")
    told = expected(stream)
    assert whole.said == told.said
    assert cut or (whole.failure == "") is (told.failure == "")
    assert network.ask(provider, data.draw(cuts(body)), cut=cut, content_type="text/event-stream") == whole


@FEWER
@given(data=st.data(), body=replies(), cut=st.booleans())
def test_a_webhook(network: Network, data: st.DataObject, body: bytes, cut: bool) -> None:
    provider = WebhookProvider(f"{network.upstream.url}/w", None, "", {}, "c", send=LOCAL.send)
    whole = network.ask(provider, [body], cut=cut, content_type="text/html")
    told, _, _ = reply([body])
    assert cut or (whole.said, whole.failure) == (told.said, told.failure)
    assert network.ask(provider, data.draw(cuts(body)), cut=cut, content_type="text/html") == whole
