"""The answer of an OpenAI-compatible chat completion: from its bytes to chunks, without any network."""

from collections.abc import Iterator
from typing import Final

import msgspec

from lib.errors import ProviderError
from lib.providers.arrivals import joined
from lib.providers.base import MOST_TOKENS, Reasoning, Text, TokenUsage
from lib.providers.faults import CUT_SHORT, FILTERED, VendorFault
from lib.providers.sse import DataLines

ANSWER_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of a whole answer on the wire: about 130,000 tokens, at some 250 bytes a chunk."""


class _Piece(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    delta: _Piece | None = None
    message: _Piece | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(msgspec.Struct):
    """A chunk of a streamed answer, or a whole one: they differ in `delta` and `message`."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: object = None


_completion = msgspec.json.Decoder(_Completion)


class CompletionReader:
    """Reads one answer.

    Args:
        streamed: whether it is an event stream; else it is one JSON object, from an endpoint that does not stream.

    Attributes:
        ended: whether the vendor said that the answer is whole.
        usage: the tokens of the call, once the vendor told them.
    """

    def __init__(self, *, streamed: bool = True) -> None:
        self.ended = False
        self.usage: TokenUsage | None = None
        self._streamed = streamed
        self._lines = DataLines()
        self._whole = bytearray()
        self._left = ANSWER_LIMIT
        self._has_text = False

    def feed(self, data: bytes) -> Iterator[Text | Reasoning]:
        """Read the next bytes, and yield what they complete, neighbours of a kind joined; then raise what is wrong.

        Raises:
            VendorFault: when the answer carries an error.
            ProviderError: when the answer was filtered, or is too large.
            msgspec.DecodeError: or another of `faults.UNREADABLE`.
        """
        self._left -= len(data)
        if self._left < 0:
            raise ProviderError("The model's answer is too large.")
        if not self._streamed:
            self._whole += data
            return
        pieces: list[Text | Reasoning] = []
        try:
            for payload in self._lines.feed(data):
                self._read(payload, pieces)
        finally:
            yield from joined(pieces)

    def close(self) -> list[Text | Reasoning]:
        """Say that no more bytes come, and return the whole answer where it was not streamed.

        Raises:
            ProviderError: when the vendor never said that the answer is whole; besides what `feed` raises.
        """
        pieces: list[Text | Reasoning] = []
        if not self._streamed:
            self._read(bytes(self._whole), pieces)
        if not self.ended:
            raise ProviderError(CUT_SHORT)
        return pieces

    def _read(self, payload: bytes, pieces: list[Text | Reasoning]) -> None:
        """Read a chunk, and add what it says to `pieces`."""
        if payload == b"[DONE]":
            self.ended = True
            return
        completion = _completion.decode(payload)
        if completion.error is not None:
            raise VendorFault.read(payload)
        if (usage := completion.usage) and min(counts := _counts(usage)) >= 0 and max(counts) <= MOST_TOKENS:
            self.usage = TokenUsage(*counts)
        if completion.choices:
            self._read_choice(completion.choices[0], pieces)

    def _read_choice(self, choice: _Choice, pieces: list[Text | Reasoning]) -> None:
        said = choice.delta or choice.message
        if said is not None:
            if thought := said.reasoning_content or said.reasoning:
                pieces.append(Reasoning(thought))
            if said.content:
                pieces.append(Text(said.content))
                self._has_text = True
        if choice.finish_reason:
            self.ended = True
            if choice.finish_reason == "content_filter" and not self._has_text:
                raise ProviderError(FILTERED)


def _counts(usage: _Usage) -> tuple[int, int]:
    return usage.prompt_tokens, usage.completion_tokens
