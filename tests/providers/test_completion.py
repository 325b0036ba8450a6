import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import ContextTooLong, ProviderError, ProviderRateLimited
from lib.providers.base import Chunk, Reasoning, Text, TokenUsage
from lib.providers.completion import ANSWER_LIMIT, CompletionReader
from lib.providers.faults import UNREADABLE, VendorFault
from lib.providers.sse import LINE_LIMIT

OPENAI = (
    b'data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,'
    b'"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc\xc3\x9fe"},"finish_reason":null}],"usage":null}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":" \\ud83c\\udf31 [1]"},"finish_reason":null}],"usage":null}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,'
    b'"completion_tokens_details":{"reasoning_tokens":0}}}\n\n'
    b"data: [DONE]\n\n"
)
OPENROUTER = (
    b": OPENROUTER PROCESSING\r\n\r\n: OPENROUTER PROCESSING\r\n\r\n"
    b'data: {"choices":[{"delta":{"content":"","reasoning":"Let me "},"finish_reason":null}]}\r\n\r\n'
    b'data: {"choices":[{"delta":{"content":"","reasoning":"see. \xf0\x9f\xa4\x94"},"finish_reason":null}]}\r\n\r\n'
    b'data: {"choices":[{"delta":{"content":"Yes."},"finish_reason":"stop","native_finish_reason":"stop"}]}\r\n\r\n'
    b'data: {"choices":[{"delta":{"content":""}}],"usage":{"prompt_tokens":3,"completion_tokens":7}}\r\n\r\n'
    b"data: [DONE]\r\n\r\n"
)
VLLM = (
    b'data:{"choices":[{"index":0,"delta":{"reasoning_content":"Hm."}}]}\n\n'
    b'event: message\nid: 7\ndata:{"choices":[{"index":0,"delta":{"content":"No"}}],"usage":{"prompt_tokens":1}}\n\n'
    b'data:{"choices":[{"index":0,"delta":null,"finish_reason":"length","stop_reason":null}]}\n\n'
)
STREAMS = (OPENAI, OPENROUTER, VLLM)


def read(parts: list[bytes]) -> list[Chunk]:
    """The chunks of an answer that arrives in these parts, neighbours of a kind joined."""
    reader = CompletionReader()
    pieces = [piece for part in parts for piece in reader.feed(part)]
    reader.close()
    reasoning = "".join(piece.text for piece in pieces if isinstance(piece, Reasoning))
    text = "".join(piece.text for piece in pieces if isinstance(piece, Text))
    joined: list[Chunk] = [Reasoning(reasoning)] if reasoning else []
    joined.append(Text(text))
    return [*joined, reader.usage] if reader.usage else joined


def frame(**choice: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def test_openai_s_own_stream_is_read() -> None:
    assert read([OPENAI]) == [Text("Grüße 🌱 [1]"), TokenUsage(9, 4)]


def test_comments_crlf_and_the_other_name_of_reasoning_are_read() -> None:
    assert read([OPENROUTER]) == [Reasoning("Let me see. 🤔"), Text("Yes."), TokenUsage(3, 7)]


def test_a_finish_reason_ends_an_answer_without_done() -> None:
    assert read([VLLM]) == [Reasoning("Hm."), Text("No"), TokenUsage(1, 0)]


@given(stream=st.sampled_from(STREAMS), cuts=st.lists(st.integers(0, 1200)))
def test_any_cut_of_the_bytes_gives_the_same_answer(stream: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    assert read([stream[start:end] for start, end in pairwise(edges)]) == read([stream])


@pytest.mark.parametrize("stream", STREAMS)
def test_bytes_one_by_one_give_the_same_answer(stream: bytes) -> None:
    assert read([bytes([byte]) for byte in stream]) == read([stream])


@given(texts=st.lists(st.text(min_size=1)))
def test_any_text_arrives_as_it_was(texts: list[str]) -> None:
    stream = b"".join(frame(delta={"content": text}) for text in texts) + b"data: [DONE]\n\n"
    assert read([stream]) == [Text("".join(texts))]


@given(garbage=st.binary(max_size=200))
def test_garbage_never_counts_as_an_answer(garbage: bytes) -> None:
    with pytest.raises((ProviderError, VendorFault, *UNREADABLE)):
        read([b"data: {" + garbage + b"\n"])


@pytest.mark.parametrize(("read", "written"), [(-1, 1), (1, 2**31), (2**62, 1)])
def test_tokens_that_no_table_holds_are_not_believed(read: int, written: int) -> None:
    reader = CompletionReader()
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}\n\n' % (read, written)
    assert list(reader.feed(frame(delta={"content": "Hi"}) + usage + b"data: [DONE]\n\n")) == [Text("Hi")]
    assert reader.usage is None


def test_texts_that_arrive_together_are_one_piece() -> None:
    arrived = frame(delta={"reasoning": "a"}) + frame(delta={"content": "b"}) + frame(delta={"content": "c"})
    assert list(CompletionReader().feed(arrived)) == [Reasoning("a"), Text("bc")]


@pytest.mark.parametrize("ending", [b"", b"data: [DONE]", frame(delta={"content": "."})])
def test_an_answer_without_its_end_is_an_error(ending: bytes) -> None:
    with pytest.raises(ProviderError, match="in the middle"):
        read([frame(delta={"content": "Hello"}), ending])


def test_what_came_before_an_error_is_kept() -> None:
    feed = CompletionReader().feed(frame(delta={"content": "Hello"}) + b'data: {"error": {"message": "boom"}}\n\n')
    assert next(feed) == Text("Hello")
    with pytest.raises(VendorFault) as fault:
        next(feed)
    assert fault.value.words == "boom"


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        ({"message": "boom", "code": "server_error"}, ProviderError),
        ("boom", ProviderError),
        ({"message": "slow down", "code": 429}, ProviderRateLimited),
        ({"message": "exceeds", "type": "exceed_context_size_error", "code": 400}, ContextTooLong),
    ],
)
def test_an_error_in_the_stream_is_ours(error: object, ours: type[ProviderError]) -> None:
    with pytest.raises(VendorFault) as fault:
        read([b"data: " + json.dumps({"error": error}).encode() + b"\n\n"])
    assert type(fault.value.as_ours()) is ours


def test_a_filtered_answer_without_text_is_an_error() -> None:
    with pytest.raises(ProviderError, match="filtered"):
        read([frame(delta={}, finish_reason="content_filter")])


def test_a_filtered_answer_keeps_its_text() -> None:
    assert read([frame(delta={"content": "Hello"}), frame(delta={}, finish_reason="content_filter")]) == [Text("Hello")]


@pytest.mark.parametrize("size", [4096, 2 * LINE_LIMIT])
def test_a_line_that_is_too_long_is_an_error(size: int) -> None:
    line = b"data: " + b"x" * LINE_LIMIT + b"\n"
    with pytest.raises(ProviderError, match="too long"):
        read([line[start : start + size] for start in range(0, len(line), size)])


def test_an_answer_that_is_too_large_is_an_error() -> None:
    part = frame(delta={"content": "x" * 500_000})
    with pytest.raises(ProviderError, match="too large"):
        read([part] * (ANSWER_LIMIT // len(part) + 1))


def test_a_whole_answer_is_read() -> None:
    reader = CompletionReader(streamed=False)
    body = {
        "choices": [{"message": {"reasoning_content": "Hm.", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    assert list(reader.feed(json.dumps(body).encode())) == []
    assert reader.close() == [Reasoning("Hm."), Text("Yes.")]
    assert reader.usage == TokenUsage(1, 2)


@pytest.mark.parametrize("body", [b"{}", b'{"choices": []}', b'{"detail": "no"}'])
def test_json_that_is_no_answer_is_an_error(body: bytes) -> None:
    reader = CompletionReader(streamed=False)
    assert list(reader.feed(body)) == []
    with pytest.raises(ProviderError):
        reader.close()
