"""What Gemini's API may answer, byte for byte."""

import json
from typing import Any, Final

from tests.golden.upstream import Answer, Read, answer

COUNTS: Final = {"promptTokenCount": 12, "totalTokenCount": 12}
ALL_COUNTS: Final = COUNTS | {"candidatesTokenCount": 4, "thoughtsTokenCount": 3, "totalTokenCount": 19}


def event(value: object) -> bytes:
    """Return a frame of the stream, which ends in CRLF as Google's do."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\r\n\r\n".encode()


def chunk(*parts: dict[str, Any], finish: str | None = None, usage: dict[str, int] | None = COUNTS) -> bytes:
    """Return a chunk as Google's own servers send it."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    value: dict[str, Any] = {"candidates": [candidate]}
    if usage:
        value["usageMetadata"] = usage
    return event(value | {"modelVersion": "gemini-2.5-flash", "responseId": "r1"})


def says(text: str, **more: Any) -> Read:
    """Return a chunk with a piece of the answer, which shows."""
    return Read(chunk({"text": text}, **more), ("text",))


def thinks(text: str) -> Read:
    """Return a chunk with a piece of what the model thinks aloud."""
    return Read(chunk({"text": text, "thought": True}), ("reasoning",))


STOP: Final = chunk({"text": ""}, finish="STOP", usage=ALL_COUNTS)


def _cut_character() -> tuple[Read | bytes, ...]:
    data = chunk({"text": "a🌱b"})
    at = data.index("🌱".encode()) + 2
    return data[:at], Read(data[at:], ("text",))


def _failure(code: int, status: str, message: str, *details: dict[str, Any]) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status, "details": details}}).encode()


_RETRY: Final = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36.2s"}

ANSWERS: Final[dict[str, Answer]] = {
    "plain": answer(says("Bees"), says(" dance"), says("."), STOP),
    "an end with a word": answer(says("Bees"), says(" dance.", finish="STOP", usage=ALL_COUNTS)),
    "reasoning": answer(thinks("Let me "), thinks("see."), says("Yes"), says("."), STOP),
    "several parts": answer(
        Read(
            chunk({"text": "a", "thought": True}, {"text": "b", "thought": True}, {"text": "c"}, {"text": "d"}),
            ("reasoning", "text"),
        ),
        STOP,
    ),
    "without usage": answer(says("Bees", usage=None), chunk({"text": ""}, finish="STOP", usage=None)),
    "usage without what was written": answer(says("Bees"), chunk({"text": ""}, finish="STOP")),
    "length": answer(says("Bees"), chunk(finish="MAX_TOKENS", usage=ALL_COUNTS)),
    "unicode": answer(says("Grüße, 蜂🐝 "), says("e\u0301 \u2028\u2029 \ufeff"), says('"\\/\t</script>\n\n'), STOP),
    "escapes": answer(
        Read(
            b'data: {"candidates":[{"content":{"parts":[{"text":"\\ud83c\\udf31 \\u00fc \\/"}]}}]}\r\n\r\n', ("text",)
        ),
        STOP,
    ),
    "half a surrogate pair": answer(
        Read(b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\r\n\r\n', ("text",)),
        Read(b'data: {"candidates":[{"content":{"parts":[{"text":"lone \\ud83c half"}]}}]}\r\n\r\n'),
        STOP,
    ),
    "LF alone": answer(Read(chunk({"text": "Bees"}).replace(b"\r\n", b"\n"), ("text",)), STOP.replace(b"\r\n", b"\n")),
    "a character cut in two": answer(*_cut_character(), STOP),
    "comments": answer(b": ping\r\n\r\n", says("Bees"), b": ping\r\n\r\n", STOP),
    "a chunk without parts": answer(
        says("Bees"), event({"candidates": [{"content": {"role": "model"}}]}), event({"usageMetadata": COUNTS}), STOP
    ),
    "parts of other kinds": answer(
        says("Bees"), chunk({"functionCall": {"name": "f", "args": {"a": 1}}}, {"executableCode": {"code": "1"}}), STOP
    ),
    "fields that nobody knows": answer(
        says("Bees"), chunk({"text": ""}, finish="STOP", usage=ALL_COUNTS | {"newTokenCount": 1})
    ),
    "two candidates": answer(
        Read(event({"candidates": [{"content": {"parts": [{"text": text}]}} for text in ("one", "two")]}), ("text",)),
        STOP,
    ),
    "false citations": answer(says("Bees [1]"), says(" dance [7] and."), STOP),
    "an error at once": answer(event({"error": {"code": 503, "message": "Oh.", "status": "UNAVAILABLE"}})),
    "an error after a word": answer(
        says("Bees"), event({"error": {"code": 503, "message": "Oh.", "status": "UNAVAILABLE"}})
    ),
    "a blocked prompt": answer(event({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": COUNTS})),
    "filtered": answer(chunk(finish="SAFETY")),
    "filtered after a word": answer(says("Bees"), chunk(finish="RECITATION")),
    "another end": answer(says("Bees"), chunk(finish="MALFORMED_FUNCTION_CALL")),
    "an end that nobody knows": answer(says("Bees"), chunk(finish="BORED")),
    "cut before a word": answer(end="cut"),
    "cut after a word": answer(says("Bees"), end="cut"),
    "cut after the end": answer(says("Bees"), STOP, end="cut"),
    "no end": answer(says("Bees")),
    "no answer": answer(STOP),
    "nothing": answer(),
    "reasoning alone": answer(thinks("Hm"), STOP),
    "garbage": answer(b"data: {oh}\r\n\r\n"),
    "garbage after a word": answer(says("Bees"), b'data: {"candidates": 3}\r\n\r\n'),
    "status 400": answer(_failure(400, "INVALID_ARGUMENT", "API key not valid."), status=400),
    "status 429": answer(_failure(429, "RESOURCE_EXHAUSTED", "Quota.", _RETRY), status=429),
    "status 503": answer(_failure(503, "UNAVAILABLE", "Overloaded."), status=503),
    "a page": answer(b"<html>", status=502, content_type="text/html"),
}
"""By what is special about them."""
