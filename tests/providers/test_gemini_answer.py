"""What is understood of Gemini's bytes, without any network."""

import json
from typing import Any

import pytest

from lib.errors import ProviderError
from lib.providers.base import Chunk, Reasoning, Text, TokenUsage
from lib.providers.faults import VendorFault
from lib.providers.gemini_answer import ANSWER_LIMIT, GeminiReader, fault
from lib.providers.sse import LINE_LIMIT
from tests.golden.gemini_answers import ALL_COUNTS, ANSWERS, STOP, chunk, event, says


def read(*reads: bytes, streamed: bool = True) -> tuple[list[Chunk], TokenUsage | None]:
    """Return what an answer says and the tokens that it tells."""
    reader, chunks = GeminiReader(), list[Chunk]()
    reader.begin(streamed=streamed)
    for data in reads:
        chunks += reader.feed(data)
    chunks += reader.close()
    return chunks, reader.usage


def read_as_far_as_possible(*reads: bytes) -> tuple[str, str, str]:
    """Return the texts and the thoughts that came before a failure, and what the failure says."""
    reader, chunks, failure = GeminiReader(), list[Chunk](), ""
    try:
        for data in reads:
            for piece in reader.feed(data):
                chunks.append(piece)
        for piece in reader.close():
            chunks.append(piece)
    except (ProviderError, VendorFault) as error:
        failure = f"{type(error).__name__} {error} {getattr(error, 'words', '')}"
    except ValueError as error:
        failure = type(error).__name__
    texts, thoughts = ("".join(each.text for each in chunks if isinstance(each, kind)) for kind in (Text, Reasoning))
    return texts, thoughts, failure


def whole(*texts: str) -> bytes:
    """An answer that is a JSON array, as where `alt=sse` was lost on the way."""
    chunks: list[Any] = [json.loads(says(text).data[len("data: ") :]) for text in texts]
    return json.dumps([*chunks, json.loads(STOP[len("data: ") :])], indent=2).encode()


@pytest.mark.parametrize("name", [name for name, answer in ANSWERS.items() if answer.status == 200])
def test_however_an_answer_is_cut_it_says_the_same(name: str) -> None:
    body = b"".join(read.data for read in ANSWERS[name].reads)
    assert read_as_far_as_possible(*(body[at : at + 1] for at in range(len(body)))) == read_as_far_as_possible(body)


def test_what_arrives_together_is_one_text() -> None:
    body = says("a").data + says("b").data + chunk({"text": "c", "thought": True}) + says("d").data + STOP
    assert read(body)[0] == [Text("ab"), Reasoning("c"), Text("d")]


def test_what_came_before_a_failure_is_told() -> None:
    assert read_as_far_as_possible(says("a").data + b"data: {oh}\n\n") == ("a", "", "DecodeError")


def test_an_answer_in_one_piece_is_one() -> None:
    body = whole("Bees", " dance")
    assert read(body[:50], body[50:], streamed=False) == ([Text("Bees dance")], TokenUsage(12, 7))


def test_an_error_in_one_piece_is_one() -> None:
    with pytest.raises(VendorFault) as raised:
        read(json.dumps([{"error": {"code": 503, "message": "Oh."}}]).encode(), streamed=False)
    assert (raised.value.status, raised.value.words) == (503, "Oh.")


@pytest.mark.parametrize("body", [b"[]", b"[", b"", b"3", b"<p>"])
def test_what_is_no_answer_in_one_piece_is_an_error(body: bytes) -> None:
    with pytest.raises((ProviderError, ValueError)):
        read(body, streamed=False)


def test_a_bare_error_in_the_place_of_events_is_one() -> None:
    lines = json.dumps({"error": {"code": 429, "message": "Slowly."}}, indent=2).encode()
    with pytest.raises(VendorFault) as raised:
        read(says("a").data, lines)
    assert (raised.value.status, raised.value.words) == (429, "Slowly.")


def test_bare_lines_beside_a_whole_answer_say_nothing() -> None:
    assert read(b"\xef\xbb\xbf\n", says("a").data, b"retry: 10\n", STOP)[0] == [Text("a")]


@pytest.mark.parametrize("counts", [{"promptTokenCount": 2**31}, {"candidatesTokenCount": -9}])
def test_usage_that_no_table_holds_is_none(counts: dict[str, int]) -> None:
    last = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": ALL_COUNTS | counts}
    assert read(says("a").data, event(last)) == ([Text("a")], None)


def test_an_answer_without_an_end_is_cut_off() -> None:
    endless = says("x" * LINE_LIMIT).data
    with pytest.raises(ProviderError, match="a line that is too long"):
        read(endless)
    reader, line = GeminiReader(), b": " + b"x" * 1_000_000 + b"\n"
    with pytest.raises(ProviderError, match="too large"):
        for _ in range(ANSWER_LIMIT // len(line) + 1):
            list(reader.feed(line))


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        (b'{"error": {"details": [{"retryDelay": "36.2s"}]}}', "7", 37),
        (b'{"error": {"details": [{"retryDelay":"0.5s"}]}}', None, 1),
        (b'{"error": {}}', "7", 7),
        (b'{"error": {}}', None, None),
    ],
)
def test_how_long_to_wait_stands_in_an_error_or_in_its_header(
    body: bytes, header: str | None, seconds: int | None
) -> None:
    assert fault(body, status=429, retry_after=header).retry_after == seconds
