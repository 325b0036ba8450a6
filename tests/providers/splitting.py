"""Bytes as the network cuts them, and upstreams' answers to cut."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Final

from hypothesis import strategies as st

from lib.errors import ProviderError
from lib.providers.base import Chunk, Reasoning, Text, TokenUsage
from lib.providers.faults import CUT_SHORT, FILTERED, UNREADABLE, VendorFault

FAILURES: Final = (ProviderError, VendorFault, *UNREADABLE)
"""What may go wrong with an answer. Anything else is a fault of ours."""

Said = tuple[str, str]
"""A piece of an answer: its kind and its text."""
REASONING, TEXT = Reasoning.__name__, Text.__name__


@dataclass(frozen=True)
class Outcome:
    """What came of an answer: its pieces, neighbours of a kind joined, its tokens, and what was wrong with it."""

    said: tuple[Said, ...]
    usage: TokenUsage | None = None
    failure: str = ""


def outcome(chunks: Sequence[Chunk], usage: TokenUsage | None = None, failure: BaseException | None = None) -> Outcome:
    """Return what came of these chunks, the tokens among them or told besides."""
    told = [chunk for chunk in chunks if isinstance(chunk, TokenUsage)]
    said = [(type(chunk).__name__, chunk.text) for chunk in chunks if not isinstance(chunk, TokenUsage)]
    return Outcome(joined(said), told[-1] if told else usage, named(failure) if failure else "")


def joined(said: Sequence[Said]) -> tuple[Said, ...]:
    """Join the neighbours of a kind."""
    runs = groupby(said, lambda piece: piece[0])
    return tuple((kind, text) for kind, run in runs if (text := "".join(each for _, each in run)))


def named(failure: BaseException) -> str:
    """Return what a failure is, and what it says where those are words of ours or of the vendor's."""
    if isinstance(failure, UNREADABLE):
        return "unreadable"
    words = failure.words if isinstance(failure, VendorFault) else str(failure)
    return f"{type(failure).__name__}: {words}"


@st.composite
def cuts(draw: st.DrawFn, body: bytes) -> list[bytes]:
    """Cut bytes anywhere, most of all where it hurts: inside a character, between CR and LF, around a line's end."""
    sore = [at for at in range(1, len(body)) if body[at] & 0xC0 == 0x80 or b"\n" in body[at - 1 : at + 1]]
    places = st.integers(0, len(body)) | st.sampled_from(sore or [0])
    edges = [0, *sorted(draw(st.lists(places, max_size=30))), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def one_by_one(body: bytes) -> list[bytes]:
    """Cut bytes everywhere."""
    return [body[at : at + 1] for at in range(len(body))]


@dataclass(frozen=True)
class Event:
    """A frame of an OpenAI-compatible stream, and what a reader is to make of it."""

    data: bytes
    said: tuple[Said, ...] = ()
    usage: TokenUsage | None = None
    ends: bool = False
    failure: str = ""


def expected(events: Sequence[Event]) -> Outcome:
    """Return what is to come of a stream: all up to the first failure, which an end that never comes is, too."""
    said: list[Said] = []
    usage, ended = None, False
    for event in events:
        said += event.said
        usage = event.usage or usage
        ended = ended or event.ends
        failure = event.failure
        if failure == _FILTERED and any(kind == TEXT for kind, _ in said):
            failure = ""
        if failure:
            return Outcome(joined(said), usage, failure)
    return Outcome(joined(said), usage, "" if ended else _CUT_SHORT)


_FILTERED: Final = f"ProviderError: {FILTERED}"
_CUT_SHORT: Final = f"ProviderError: {CUT_SHORT}"

_texts: Final = st.text(max_size=6) | st.sampled_from(["🌱", "é", "\n\n", "\r\n", '"', "\\", "data: [DONE]\n", "[1]"])


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """A stream of an OpenAI-compatible endpoint: mostly such as they are, some of it such as they had better not be."""
    made = draw(
        st.lists(st.one_of(_chunks(), _chunks(), _chunks(), _usages(), _ends(), _asides(), _failures()), max_size=8)
    )
    return [*made, draw(_last)] if draw(st.booleans()) else made


def body_of(stream: Sequence[Event]) -> bytes:
    """Return the bytes of a stream."""
    return b"".join(event.data for event in stream)


@st.composite
def _spelled(draw: st.DrawFn, value: object) -> bytes:
    """Spell a value as a frame, as any of the servers there are may do it."""
    compact, plain, space, end = draw(st.tuples(*[st.booleans()] * 4))
    text = json.dumps(value, ensure_ascii=plain, separators=(",", ":") if compact else None)
    newline = "\r\n" if end else "\n"
    return f"data:{' ' * space}{text}{newline}{newline}".encode()


@st.composite
def _chunks(draw: st.DrawFn) -> Event:
    thought, text = draw(_texts | st.none()), draw(_texts | st.none())
    name = draw(st.sampled_from(["reasoning", "reasoning_content"]))
    delta: dict[str, Any] = {"role": "assistant", name: thought, "content": text, "tool_calls": None}
    order = draw(st.permutations(list(delta)))
    choice = {"index": 0, "delta": {key: delta[key] for key in order}, "logprobs": None, "finish_reason": None}
    said = tuple((kind, piece) for kind, piece in ((REASONING, thought), (TEXT, text)) if piece)
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"} if draw(st.booleans()) else {}
    return Event(draw(_spelled(head | {"choices": [choice], "usage": None})), said)


@st.composite
def _usages(draw: st.DrawFn) -> Event:
    usage = TokenUsage(draw(st.integers(0, 99)), draw(st.integers(0, 99)))
    told = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    return Event(draw(_spelled({"choices": [], "usage": told})), usage=usage)


@st.composite
def _ends(draw: st.DrawFn) -> Event:
    reason = draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter", "[DONE]"]))
    if reason == "[DONE]":
        return Event(b"data: [DONE]" + draw(st.sampled_from([b"\n\n", b"\r\n\r\n", b" \n"])), ends=True)
    choice: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": reason}
    failure = _FILTERED if reason == "content_filter" else ""
    return Event(draw(_spelled({"choices": [choice], "usage": None})), ends=True, failure=failure)


@st.composite
def _asides(draw: st.DrawFn) -> Event:
    """What says nothing: comments, other fields, blank lines, chunks without a choice."""
    lines = [b": PING", b":", b"", b"event: message", b"id: 7", b"retry: 10", b"data:", b"data: ", b"\xff"]
    if draw(st.booleans()):
        return Event(draw(st.sampled_from(lines)) + draw(st.sampled_from([b"\n", b"\r\n"])))
    values: list[dict[str, Any]] = [{"choices": []}, {"choices": [], "usage": None}, {"choices": None}, {}]
    return Event(draw(_spelled(draw(st.sampled_from(values)))))


@st.composite
def _failures(draw: st.DrawFn) -> Event:
    if draw(st.booleans()):
        return Event(draw(_spelled({"error": {"message": "boom"}})), failure="VendorFault: boom")
    garbage = draw(
        st.sampled_from([b"data: {oh}\n", b"data: 1\n", b'data: {"choices": 1}\n', b'data: {"a":"\n', b"data: \xff\n"])
    )
    return Event(garbage, failure="unreadable")


_last: Final = st.sampled_from([Event(line) for line in (b"data: [DONE]", b'data: {"choices"', b"data", b"\r")])
"""A last line that never ends is none."""


@st.composite
def gemini_events(draw: st.DrawFn) -> list[Event]:
    """A stream of Gemini's, mostly such as they are."""
    parts = draw(st.lists(_parts(), max_size=5))
    return [*parts, draw(_gemini_ends())] if draw(st.integers(0, 3)) else parts


@st.composite
def _parts(draw: st.DrawFn) -> Event:
    told = draw(st.lists(st.tuples(st.sampled_from([REASONING, TEXT]), _texts), max_size=3))
    parts = [{"text": text} | ({"thought": True} if kind == REASONING else {}) for kind, text in told]
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
    return Event(
        draw(_spelled({"candidates": [candidate], "modelVersion": "m"})),
        tuple(piece for piece in told if piece[1]),
    )


@st.composite
def _gemini_ends(draw: st.DrawFn) -> Event:
    reason = draw(st.sampled_from(["STOP", "STOP", "MAX_TOKENS", "SAFETY", "error"]))
    if reason == "error":
        error = {"code": 503, "message": "Oh.", "status": "UNAVAILABLE"}
        return Event(draw(_spelled({"error": error})), failure="ProviderError")
    usage = draw(st.none() | st.builds(TokenUsage, st.integers(0, 99), st.integers(0, 99)))
    value: dict[str, Any] = {"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": reason}]}
    if usage:
        value["usageMetadata"] = {"promptTokenCount": usage.input_tokens, "candidatesTokenCount": usage.output_tokens}
    failure = "ProviderError" if reason == "SAFETY" else ""
    return Event(draw(_spelled(value)), usage=usage, ends=not failure, failure=failure)
