"""What a webhook may answer, byte for byte."""

import json
from typing import Any, Final

from tests.golden.upstream import Answer, Read, answer
from tests.providers.recorded import RECORDED

N8N_TYPE: Final = "application/json; charset=utf-8"
HTML_TYPE: Final = "text/html; charset=utf-8"
USAGE: Final = {"prompt_tokens": 12, "completion_tokens": 4}


def text(data: bytes) -> Read:
    """Return bytes that show a piece of the answer."""
    return Read(data, ("text",))


def line(value: object) -> bytes:
    """Return a line of JSON."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def event(value: object) -> bytes:
    """Return a frame of an event stream."""
    return b"data: " + line(value) + b"\n"


def of_a_node(kind: str, **more: Any) -> bytes:
    """Return a line as n8n streams it."""
    return line({"type": kind, **more, "metadata": {"nodeId": "n1", "nodeName": "AI Agent", "itemIndex": 0}})


def _recorded(name: str, shows: str) -> Answer:
    """Return what n8n replied, cut as n8n cut it; `shows` has a t for each piece that shows text, and a dash else."""
    reply = RECORDED[name]
    reads = [Read(piece, ("text",) if shown == "t" else ()) for piece, shown in zip(reply.pieces, shows, strict=True)]
    return answer(*reads, status=reply.status, content_type=reply.content_type or "")


ANSWERS: Final[dict[str, Answer]] = {
    "n8n, a text": _recorded("text", "t"),
    "n8n, an agent's item": _recorded("first_item_agent", "-"),
    "n8n, all items": _recorded("all_items", "-"),
    "n8n, a stream": _recorded("streaming", "-tttt-"),
    "bare text": answer(text(b"Bees "), text("dänce [1]".encode()), text(b" [7] and sing.\n"), content_type=HTML_TYPE),
    "bare text with a character cut in two": answer(text(b"a\xf0\x9f"), text(b"\x8c\xb1b"), content_type=HTML_TYPE),
    "bare text that is no UTF-8": answer(text(b"a\xff\xc3\x28"), text(b"b\xe2\x82"), content_type=HTML_TYPE),
    "events of JSON": answer(
        text(event({"content": "Bees"})), text(event({"delta": " dance"})), event({"usage": USAGE}), b"data: [DONE]\n\n"
    ),
    "events of OpenAI's": answer(
        event({"choices": [{"delta": {"role": "assistant", "content": ""}}]}),
        text(event({"choices": [{"delta": {"content": "Bees"}}]})),
        text(event({"choices": [{"delta": {"content": " [9] dance"}}]})),
        event({"choices": [{"finish_reason": "stop"}]}),
        event({"choices": [], "usage": USAGE}),
        b"data: [DONE]\n\n",
    ),
    "events of text": answer(
        text(b"data: Bees\r\n\r\n"), text(b"data:  dance\ndata: and sing\n\n"), b"data: [DONE]\n\n"
    ),
    "events after comments and fields": answer(
        b": ping\n\n",
        b"event: message\nid: 1\nretry: 10\n",
        text(event({"text": "Bees"})),
        b"event: ping\ndata: {}\n\n",
    ),
    "events cut anywhere": answer(
        b"da",
        b'ta: {"content":"B',
        text(b'ees"}\n'),
        b"\nda",
        b'ta: {"content":" \xc3',
        text(b'\xbcber"}\r\n'),
        b"\r\n",
    ),
    "events that arrive together": answer(text(event({"content": "Bees"}) + event({"content": " dance"}))),
    "words after the end": answer(text(event({"content": "Bees"})), b"data: [DONE]\n\n", event({"content": "?"})),
    "lines of JSON": answer(
        text(line({"content": "Bees"})), text(line({"content": " dance"})), line({"done": True, "usage": USAGE})
    ),
    "nodes in turn": answer(
        of_a_node("begin"),
        text(of_a_node("item", content="Let me ")),
        text(of_a_node("item", content="look.")),
        of_a_node("end"),
        of_a_node("begin"),
        text(of_a_node("item", content="Bees.")),
        of_a_node("end"),
        of_a_node("begin"),
        of_a_node("item", content='{"output":"Bees."}'),
        of_a_node("end"),
        content_type=N8N_TYPE,
    ),
    "a node that fails": answer(
        of_a_node("begin"), text(of_a_node("item", content="Bees")), of_a_node("error", content="boom")
    ),
    "a node that never ends": answer(of_a_node("begin"), text(of_a_node("item", content="Bees"))),
    "an object": answer(b'{"output":"Bees [7] dance.","usage":{"input_tokens":1,', b'"output_tokens":2}}'),
    "an object over lines": answer(b'{\n"content": "one\n', b'two"\n}\n', content_type=N8N_TYPE),
    "a completion": answer(b'{"choices":[{"message":{"content":[{"type":"text","text":"Hi"},{"text":"!"}]}}]}'),
    "surrogates and a NUL": answer(
        text(line({"content": "x"})), text(b'{"content":"a\\ud83cb \\ud83c\\udf31 \\u0000c"}\n')
    ),
    "an error": answer(b'{"message":"Error in workflow"}', content_type=N8N_TYPE),
    "an error after a word": answer(text(event({"content": "Bees"})), event({"error": {"message": "no"}})),
    "cut before a word": answer(b"", end="cut"),
    "cut after a word": answer(text(event({"content": "Bees"})), end="cut"),
    "a page": answer(b"<!DOCTYPE html><html><head></head></html>", content_type=HTML_TYPE),
    "JSON that is cut off": answer(b'{"content": "Bees'),
    "none of the keys": answer(b'{"answer":"Bees"}'),
    "nothing": answer(),
    "status 404": answer(b'{"code":404,"message":"not registered"}', status=404),
    "status 429": answer(b"{}", status=429, headers={"Retry-After": "7"}),
    "status 500": answer(b'{"message":"Error in workflow"}', status=500),
}
"""By what is special about them."""
