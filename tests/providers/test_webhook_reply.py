"""What a webhook's reply is understood as, whatever it is labelled and wherever its bytes are cut."""

import json
import tracemalloc
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import ProviderError, WebhookEmpty, WebhookFailed
from lib.providers.base import TokenUsage
from lib.providers.sse import LINE_LIMIT
from lib.providers.webhook_json import MOST_TOKENS
from lib.providers.webhook_reply import HEAD_LIMIT, REPLY_LIMIT, WebhookReply
from tests.providers.recorded import RECORDED


@dataclass(frozen=True)
class Read:
    """What came of a reply."""

    shape: str
    text: str = ""
    usage: TokenUsage | None = None
    code: str | None = None


def read(*pieces: bytes) -> Read:
    """Read a reply that arrives in these pieces."""
    return read_with_words(*pieces)[0]


def read_with_words(*pieces: bytes) -> tuple[Read, str]:
    """Read a reply, and return what is said of its error, too."""
    reply, texts = WebhookReply(), list[str]()
    try:
        for piece in pieces:
            for text in reply.feed(piece):
                texts.append(text)
        for text in reply.close():
            texts.append(text)
    except ProviderError as error:
        return Read(reply.said.shape, "".join(texts), reply.said.usage, error.code), str(error)
    return Read(reply.said.shape, "".join(texts), reply.said.usage), ""


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


def meta(node: str) -> dict[str, Any]:
    """What n8n says beside every piece that a node writes."""
    return {"nodeId": "4f0c", "nodeName": node, "itemIndex": 0, "runIndex": 0, "timestamp": 1762900000000}


def written(*pieces: str, node: str = "AI Agent") -> bytes:
    """What a node of n8n streams."""
    items = [{"type": "item", "content": piece, "metadata": meta(node)} for piece in pieces]
    return lines({"type": "begin", "metadata": meta(node)}, *items, {"type": "end", "metadata": meta(node)})


FAILED, EMPTY = "webhook_failed", "webhook_empty"

ANA = "Ich heiße Ana 🌱."
YOU_SAID = "You said: Wie heißt du? 🌱"

N8N: dict[str, Read] = {
    "first_item": Read("object", YOU_SAID),
    "first_item_agent": Read("object", ANA),
    "first_item_chain": Read("object", ANA),
    "first_item_openai": Read("object", ANA),
    "guide": Read("object", ANA),
    "right_token": Read("object", YOU_SAID),
    "all_items": Read("array", "One.\n\n" + YOU_SAID),
    "respond_all_items": Read("array", "One.\n\n" + YOU_SAID),
    "respond_json": Read("object", "Hi there! How can I help you?"),
    "text": Read("text", "You said:\n  <b>Wie heißt du? 🌱</b>\n"),
    "sse": Read("sse", "Hi thére! 🌱"),
    "sse_labelled": Read("sse", "Hi thére! 🌱"),
    "streaming": Read("ndjson", ANA),
    "streaming_twice": Read("ndjson", ANA + "\n\nUnd du?"),
    "streaming_tool": Read("ndjson", "Let me see. \n\n" + ANA),
    "streaming_text": Read("ndjson", YOU_SAID),
    "streaming_object": Read("ndjson", YOU_SAID),
    "streaming_items": Read("ndjson", "One.\n\n" + YOU_SAID),
    "streaming_said_again": Read("ndjson", ANA),
    "streaming_structured": Read("ndjson", '{"output": {"content": "Ana", "mood": "glad"}}'),
    "streaming_structured_whole": Read("ndjson", "Ana"),
    "streaming_falls_back": Read("ndjson", "Sorry, ask me later."),
    "streaming_nothing": Read("empty", code=EMPTY),
    "streaming_fails_first": Read("error", code=FAILED),
    "streaming_fails_after": Read("error", ANA, code=FAILED),
    "streaming_model_fails": Read("error", code=FAILED),
    "streaming_model_breaks": Read("error", "Ich heiße ", code=FAILED),
    "streaming_goes_on": Read("ndjson", code=FAILED),
    "streaming_breaks_and_goes_on": Read("ndjson", "Ich heiße ", code=FAILED),
    "goes_on": Read("error", code=FAILED),
    "fails_respond": Read("empty", code=EMPTY),
    "no_data": Read("empty", code=EMPTY),
    "respond_no_data": Read("empty", code=EMPTY),
    "at_once": Read("error", code=FAILED),
    "chat": Read("object", ANA),
    "chat_streaming": Read("ndjson", ANA),
    "chat_fields": Read("object", code=FAILED),
}
"""What each recorded reply with a status of success is understood as."""

OTHERS: dict[str, tuple[bytes, Read]] = {
    "JSON with escapes": (b'{"output":"Hi th\xc3\xa9re\\n\\ud83c\\udf31"}', Read("object", "Hi thére\n🌱")),
    "JSON, indented": (b'[\n  {\n    "output": "One."\n  }\n]\n', Read("array", "One.")),
    "bare text": (
        b"Hi th\xc3\xa9re,\r\n  <b>you</b> \xf0\x9f\x8c\xb1\n",
        Read("text", "Hi thére,\r\n  <b>you</b> 🌱\n"),
    ),
    "a node that says nothing between two": (
        written("Let me ", "look.") + written() + written("It is ", "open."),
        Read("ndjson", "Let me look.\n\nIt is open."),
    ),
    "an object with more in it": (
        written('{"output":"Hi there","steps":[]}', node="Respond to Webhook"),
        Read("ndjson", "Hi there"),
    ),
    "an object that says the last part again": (
        written("Wait.") + written("Hi ", "there") + written('[{"output":"Hi there"}]', node="Respond to Webhook"),
        Read("ndjson", "Wait.\n\nHi there"),
    ),
    "a failure that tells more": (
        written("Hi")[:-1].rsplit(b"\n", 1)[0] + b"\n" + lines({"type": "error", "content": "boom", "metadata": {}}),
        Read("error", "Hi", code=FAILED),
    ),
    "a failure, told": (b'{"message":"Error in workflow"}', Read("error", code=FAILED)),
    "n8n's own page": (b"\n<!DOCTYPE html>\n<html lang=en><head><title>n8n</title>", Read("html", code=FAILED)),
    "SSE of text": (b"data: Hel\n\ndata: lo\n\ndata:  world\n\n", Read("sse", "Hello world")),
    "SSE of text with lines": (
        b"data: one\ndata: two\ndata:\ndata: four\n\ndata: !\n\n",
        Read("sse", "one\ntwo\n\nfour!"),
    ),
    "SSE of strings": (b'data: "Hel"\r\n\r\ndata: "lo\\n"\r\n\r\ndata: [DONE]\r\n\r\n', Read("sse", "Hello\n")),
    "SSE of text with quotes": (b'data: She said\n\ndata:  "yes"\n\n', Read("sse", 'She said "yes"')),
    "SSE of numbers and citations": (b"data: 42 \n\ndata: [1]\n\ndata: null\n\n", Read("sse", "42 [1]null")),
    "SSE without blank lines": (b'data: {"content":"Hi"}\ndata: {"content":" there"}\n', Read("sse", "Hi there")),
    "SSE without its last line end": (b'data: {"output":"Hi"}\n\ndata: {"output":" there"}', Read("sse", "Hi there")),
    "SSE of JSON over lines": (b'data: {\ndata: "text":\ndata: "Hi"}\n\n', Read("sse", "Hi")),
    "SSE of what only looks like JSON": (
        b"data: {name}\ndata: is here\n\ndata: .\n\n",
        Read("sse", "{name}\nis here."),
    ),
    "SSE after comments and fields": (
        b': ping\n\n: ping\n\nevent: message\nid: 1\nretry: 10\ndata: {"delta":"Hi"}\n\nevent: ping\ndata: {}\n\n',
        Read("sse", "Hi"),
    ),
    "SSE after a byte order mark": (b'\xef\xbb\xbfdata: {"text":"Hi"}\n\n', Read("sse", "Hi")),
    "SSE of OpenAI's": (
        (
            b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
            b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
            b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
            b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\ndata: [DONE]\n\n'
        ),
        Read("sse", "Hi", TokenUsage(9, 4)),
    ),
    "SSE of n8n's pieces": (
        b'data: {"type":"begin"}\n\ndata: {"type":"item","content":"Hi"}\n\ndata: {"type":"end"}\n\n',
        Read("sse", "Hi"),
    ),
    "SSE that goes on after its end": (
        b'data: {"content":"Hi"}\n\ndata: [DONE]\n\ndata: {"content":"?"}\n\n',
        Read("sse", "Hi"),
    ),
    "SSE with an error": (
        b'data: {"content":"Hi"}\n\ndata: {"error":{"message":"no"}}\n\n',
        Read("error", "Hi", code=FAILED),
    ),
    "SSE with an error event": (b"data: Hi\n\nevent: error\ndata: boom\n\n", Read("error", "Hi", code=FAILED)),
    "SSE without any text": (b'data: {"status":"thinking"}\n\ndata: [DONE]\n\n', Read("sse", code=FAILED)),
    "SSE of nothing but comments": (b": ping\n\n: ping\n\n", Read("sse", code=EMPTY)),
    "NDJSON of any kind": (lines({"content": "Hi"}, {"content": " there"}, {"done": True}), Read("ndjson", "Hi there")),
    "NDJSON of a local model": (
        lines({"message": {"role": "assistant", "content": "Hi"}, "done": False}, {"response": "!", "done": True}),
        Read("ndjson", "Hi!"),
    ),
    "NDJSON with its own end": (
        lines({"text": "H"}, {"text": "i"}) + b"[DONE]\n" + lines({"text": "?"}),
        Read("ndjson", "Hi"),
    ),
    "NDJSON that is cut off": (lines({"text": "Hi"}) + b'{"text": "th', Read("object", "Hi", code=FAILED)),
    "a node that never ends": (written("H", "i").rsplit(b'{"type": "end"', 1)[0], Read("ndjson", "Hi", code=FAILED)),
    "a model that writes JSON": (written('{"a"', ":1}", "[1]", "{}"), Read("ndjson", '{"a":1}[1]{}')),
    "a tool that is called": (
        lines({"type": "tool-call-start", "text": "search"}, {"type": "item", "content": "Hi"}),
        Read("ndjson", "Hi"),
    ),
    "an object of a node that goes wrong": (written('{"error":"boom"}'), Read("error", code=FAILED)),
    "a completion": (
        (
            b'{"choices":[{"message":{"content":[{"type":"text","text":"Hi"},{"type":"text","text":"!"}]}}],'
            b'"usage":{"input_tokens":1,"output_tokens":2}}'
        ),
        Read("object", "Hi!", TokenUsage(1, 2)),
    ),
    "a status beside the text": (b'{"message":"ok","output":"Hi","error":null}', Read("object", "Hi")),
    "a message": (b'{"message":"Hi"}', Read("object", "Hi")),
    "a number": (b'{"output":42}', Read("object", "42")),
    "line breaks inside a string": (b'{\n"content": "one\ntwo"}', Read("object", "one\ntwo")),
    "half a surrogate pair": (b'{"content":"a\\ud83cb"}', Read("object", "a\ud83cb")),
    "a NUL": (b'{"content":"a\\u0000b"}', Read("object", "a\0b")),
    "no UTF-8": (b'{"content":"a\xffb"}', Read("object", "a�b")),
    "text that is no UTF-8": (b"a\xff\xc3\x28\xe2\x82", Read("text", "a��(�")),
    "a JSON string": (b'"Hi\\n"', Read("text", "Hi\n")),
    "text in quotes": (b'"Yes," she said.\nAnd left.', Read("text", '"Yes," she said.\nAnd left.')),
    "text that begins like a list": (b"[1] says so.\nAnd [2].", Read("text", "[1] says so.\nAnd [2].")),
    "text that begins like an object": (b"{name}, hello", Read("text", "{name}, hello")),
    "text that begins like a field": (b"id: 5\nand more", Read("text", "id: 5\nand more")),
    "text that is a field": (b"event: party at 8", Read("text", "event: party at 8")),
    "text that smiles": (b":) hello", Read("text", ":) hello")),
    "text with a tag": (b"<b>Hi</b>", Read("text", "<b>Hi</b>")),
    "a short page": (b"<html>", Read("html", code=FAILED)),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', Read("html", code=FAILED)),
    "blanks": (b" \r\n\t\n", Read("empty", code=EMPTY)),
    "a blank text": (b'{"content":" \\n"}', Read("object", " \n", code=EMPTY)),
    "an empty text": (b'{"output":""}', Read("object", code=EMPTY)),
    "no text": (b'{"output":null}', Read("object", code=EMPTY)),
    "an empty object": (b"{}", Read("object", code=EMPTY)),
    "an empty list": (b"[]", Read("array", code=EMPTY)),
    "a list of nothing": (b"[{}]", Read("array", code=EMPTY)),
    "none of the keys": (b'{"answer":"Hi","id":3}', Read("object", code=FAILED)),
    "none of the keys inside": (b'{"output":{"name":"Ana"}}', Read("object", code=FAILED)),
    "a list of numbers": (b"[1, 2]", Read("array", code=FAILED)),
    "an error": (b'{"error":"boom","content":"Hi"}', Read("error", code=FAILED)),
    "an item that is an error": (b'[{"output":"Hi"},{"error":"boom"}]', Read("error", code=FAILED)),
    "an error that says it is none": (b'{"error":false,"content":"Hi"}', Read("object", "Hi")),
    "JSON that is not valid": (b'{"content": "Hi" oh}', Read("error", code=FAILED)),
    "JSON that is cut off": (b'{"content": "Hi', Read("error", code=FAILED)),
}

BODIES = [
    *(pytest.param(RECORDED[name].body, told, id=f"n8n-{name}") for name, told in N8N.items()),
    *(pytest.param(body, told, id=name) for name, (body, told) in OTHERS.items()),
]


def test_every_answer_that_was_recorded_is_here() -> None:
    assert set(N8N) == {name for name, reply in RECORDED.items() if reply.status // 100 == 2}


@pytest.mark.parametrize(("body", "told"), BODIES)
def test_a_reply_is_understood(body: bytes, told: Read) -> None:
    assert read(body) == told


@pytest.mark.parametrize(("body", "told"), BODIES)
def test_a_cut_at_any_byte_gives_the_same(body: bytes, told: Read) -> None:
    assert [at for at in range(len(body) + 1) if read(body[:at], body[at:]) != told] == []


@pytest.mark.parametrize(("body", "told"), BODIES)
def test_bytes_one_by_one_give_the_same(body: bytes, told: Read) -> None:
    assert read(*(bytes([byte]) for byte in body)) == told


@given(
    body=st.one_of(
        st.binary(max_size=60),
        st.lists(
            st.sampled_from(
                [
                    b"data:",
                    b" ",
                    b"\n",
                    b"\r\n",
                    b'{"content":"',
                    b"x",
                    b'"}',
                    b"[",
                    b"]",
                    b":",
                    b"<html",
                    b"id:",
                    b'"',
                    b"\xef\xbb\xbf",
                    b"\xc3",
                ]
            ),
            max_size=14,
        ).map(b"".join),
    )
)
def test_any_bytes_are_an_answer_or_an_error_of_ours_and_the_same_wherever_they_are_cut(body: bytes) -> None:
    whole = read(body)
    assert whole.text or whole.code
    assert read(*(bytes([byte]) for byte in body)) == whole


def test_what_has_arrived_is_told_at_once() -> None:
    for pieces in (
        [b'data: {"content":"one"}\n', b'\ndata: {"content":"two"}\n'],
        [*written("one").splitlines(keepends=True)[:2], lines({"type": "item", "content": "two"})],
        [b"one", b"two"],
    ):
        reply = WebhookReply()
        assert [["".join(reply.feed(piece)) for piece in pieces][at] for at in (-2, -1)] == ["one", "two"]


def test_what_n8n_streams_is_told_piece_by_piece_as_n8n_cuts_it() -> None:
    reply = WebhookReply()
    assert [list(reply.feed(piece)) for piece in RECORDED["streaming"].pieces] == [
        [],
        ["Ich "],
        ["heiße "],
        ["Ana"],
        [" 🌱."],
        [],
    ]


def test_text_that_arrives_together_is_one_piece() -> None:
    assert list(WebhookReply().feed(b'data: {"content":"a"}\n\n' * 3)) == ["aaa"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message":"Workflow was started"}', "before it is done"),
        (b'{"message":"Error in workflow"}', "The workflow failed"),
        (b'{"answer":"Hi"}', "none of content, output, text, response or message"),
        (b"<html></html>", "web page"),
        (b'{"content": "', "not valid"),
        (b'{"error":"a secret of the vendor\'s"}', "answered with an error"),
    ],
)
def test_an_error_says_what_to_mend_and_nothing_of_the_reply(body: bytes, words: str) -> None:
    _, said = read_with_words(body)
    assert words in said
    assert "secret" not in said


@pytest.mark.parametrize("tokens", [-1, MOST_TOKENS + 1, True, "9", None, 1.5])
def test_tokens_that_no_table_holds_are_not_believed(tokens: Any) -> None:
    body = json.dumps({"content": "Hi", "usage": {"prompt_tokens": 1, "completion_tokens": tokens}}).encode()
    assert read(body) == Read("object", "Hi")


@pytest.mark.parametrize(
    "line",
    [b'{"content":"%b"}', b'data: {"content":"%b"}', b'{"type":"begin"}\n{"type":"item","content":"%b"}'],
    ids=["JSON", "SSE", "NDJSON"],
)
@pytest.mark.parametrize("size", [4096, 4 * LINE_LIMIT])
def test_one_giant_line_is_an_error_and_takes_no_more_memory_than_a_few_lines(line: bytes, size: int) -> None:
    body = line % (b"x" * 2 * LINE_LIMIT)
    told, peak = measured(body, size)
    assert (told.text, told.code) == ("", FAILED)
    assert peak < 6 * LINE_LIMIT


@pytest.mark.parametrize(
    "part",
    [
        b"word ",
        b'{"content":"%b"}\n' % (b"word " * 1000),
        b'data: {"content":"%b"}\n\n' % (b"word " * 1000),
        b"data: {" + b" " * 1000 + b"\n",
        b'{\n"a":' + b" " * 1000 + b"\n",
        b"\n",
        b": ping\n",
        b"id: 1\n",
        b'{"type":"begin"}\n{"type":"item","content":"%b"}\n{"type":"end"}\n' % (b"word " * 1000),
        b"\xff",
        b"[" + b"[]," * 1000 + b"[]],\n",
        b'data: {"a":"%b"}\n' % (b" " * 1000),
    ],
)
def test_an_endless_reply_is_cut_and_its_memory_stays_bounded(part: bytes) -> None:
    """What is yielded is its reader's to keep; here nobody does."""
    chunk = part * (65536 // len(part) + 1)
    reply, fed = WebhookReply(), 0
    tracemalloc.start()
    try:
        with pytest.raises(WebhookFailed):
            while True:
                fed += len(chunk)
                for _ in reply.feed(chunk):
                    pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert fed <= REPLY_LIMIT + len(chunk)
    assert peak < 12 * LINE_LIMIT


@pytest.mark.parametrize(
    "body",
    [b'{\n"content": "Hi",\n"more": [\n%b""]}', b'data: {\ndata: "content": "Hi",\ndata: "more": [\n%bdata: ""]}\n\n'],
    ids=["JSON", "SSE"],
)
def test_json_over_lines_has_the_limit_of_a_line(body: bytes) -> None:
    line = (b"data: " if body.startswith(b"data") else b"") + b'"' + b"x" * 1000 + b'",\n'
    assert read(body % (line * 900)).text == "Hi"
    told, words = read_with_words(body % (line * 1100))
    assert (told.text, told.code) == ("", FAILED)
    assert "more than 1 MB" in words


def test_json_of_many_small_values_takes_bounded_memory() -> None:
    told, peak = measured(b"[\n" + b"[],\n" * (LINE_LIMIT // 4 - 2) + b"[]\n]", 65536)
    assert told.code == EMPTY
    assert peak < 40 * LINE_LIMIT


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"content":' * 100_000, b'data: {"a":' + b"[" * 100_000 + b"\n\n"])
def test_json_that_goes_too_deep_is_no_crash(body: bytes) -> None:
    told = read(body)
    assert told.text or told.code


def test_a_reply_that_does_not_show_what_it_is_is_text() -> None:
    comments = b": ping\n" * (HEAD_LIMIT // 7 + 1)
    assert read(comments + b"data: late\n").shape == "text"
    assert read(*(comments[at : at + 1000] for at in range(0, len(comments), 1000)), b"data: late\n").shape == "text"


def test_a_reply_of_8_mb_is_taken_and_a_byte_more_is_not() -> None:
    assert read(b"x" * REPLY_LIMIT) == Read("text", "x" * REPLY_LIMIT)
    assert read(b"x" * REPLY_LIMIT, b"y") == Read("text", "x" * REPLY_LIMIT, code=FAILED)
    assert read(b"x" * REPLY_LIMIT + b"y") == Read("text", "x" * REPLY_LIMIT, code=FAILED)


def test_an_empty_reply_is_an_error_of_its_own() -> None:
    with pytest.raises(WebhookEmpty):
        list(WebhookReply().close())


def measured(body: bytes, size: int) -> tuple[Read, int]:
    """Read a reply in pieces of a size, and return what came of it and the most memory it took, without the body's."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    tracemalloc.start()
    try:
        told = read(*pieces)
        return told, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
