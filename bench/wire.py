"""The wire of a model's answers: what `bench/model.py` sends, built once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

MARK: Final = "|"
"""The end of every token. It is nowhere else in an answer, is one byte, no JSON spells it otherwise, and no Markdown
begins with it, which Parley would hold back to see what it becomes."""

_WORDS: Final = (
    *(" the", " of", " conversation", " a", " stream", " token", " keeps", " answer", " to", " documents", " with"),
    *(" it", " and", " reader", " every", " in", " once", ","),
)
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
_MODEL: Final = "gpt-4.1-mini"


def tokens(count: int) -> list[str]:
    """Return the tokens of an answer: words of usual length, each with its mark."""
    return [f"{_WORDS[number % len(_WORDS)]}{MARK}" for number in range(count)]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer on the wire, in chunks of HTTP.

    Attributes:
        before: the head, and what comes before the first token.
        pieces: one chunk a token.
        after: what comes after the last token, to the end of the body.
    """

    before: bytes
    pieces: Sequence[bytes]
    after: bytes

    @classmethod
    def of(cls, kind: bytes, before: Sequence[bytes], pieces: Sequence[bytes], after: Sequence[bytes]) -> Self:
        """Build an answer of a content type from what its events are."""
        pieces = tuple(map(_chunk, pieces))
        return cls(_HEAD % kind + b"".join(map(_chunk, before)), pieces, b"".join(map(_chunk, [*after, b""])))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def openai(count: int, *, usage: bool) -> Answer:
    """Return a streamed chat completion; with `usage`, a chunk before the last line tells it."""
    head = {
        "id": "chatcmpl-CfqKX1vUwz8RmT3sYb7aLhJd0NeG2",
        "object": "chat.completion.chunk",
        "created": 1763733600,
        "model": _MODEL,
        "system_fingerprint": "fp_4c2851f862",
    }

    def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return b"data: %b\n\n" % _json(head | {"choices": [choice]})

    spent = {"prompt_tokens": 400, "completion_tokens": count, "total_tokens": 400 + count}
    last = [b"data: %b\n\n" % _json(head | {"choices": [], "usage": spent})] if usage else []
    return Answer.of(
        b"text/event-stream; charset=utf-8",
        [event({"role": "assistant", "content": ""})],
        [event({"content": token}) for token in tokens(count)],
        [event({}, "stop"), *last, b"data: [DONE]\n\n"],
    )


def gemini(count: int) -> Answer:
    """Return an answer of `streamGenerateContent?alt=sse`."""

    def event(text: str, written: int, **more: Any) -> bytes:
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0} | more
        spent = {"promptTokenCount": 400, "candidatesTokenCount": written, "totalTokenCount": 400 + written}
        value = {"candidates": [candidate], "usageMetadata": spent, "modelVersion": "gemini-2.5-flash"}
        return b"data: %b\r\n\r\n" % _json(value | {"responseId": "m0hPacKJLa6Nqtsphr"})

    pieces = [event(token, number) for number, token in enumerate(tokens(count), 1)]
    return Answer.of(b"text/event-stream", [], pieces, [event("", count, finishReason="STOP")])


def workflow(count: int) -> Answer:
    """Return a reply of n8n's Respond to Webhook that streams: JSON, one object a line."""
    node = {"nodeId": "0f3c6c55-2f0a-4e0e-b5c4-7f4f6d0f4a11", "nodeName": "AI Agent", "itemIndex": 0, "runIndex": 0}

    def line(kind: str, **more: str) -> bytes:
        return b"%b\n" % _json({"type": kind, "metadata": node | {"timestamp": 1763733600000}} | more)

    pieces = [line("item", content=token) for token in tokens(count)]
    return Answer.of(b"application/json; charset=utf-8", [line("begin")], pieces, [line("end")])
