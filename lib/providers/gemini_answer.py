"""The answer of Gemini's `streamGenerateContent`: from its bytes to chunks, without any network."""

import json
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from lib.errors import ProviderError
from lib.providers.arrivals import joined
from lib.providers.base import MOST_TOKENS, Reasoning, Text, TokenUsage
from lib.providers.faults import CUT_SHORT, FILTERED, VendorFault
from lib.providers.sse import Lines

ANSWER_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of a whole answer on the wire."""
WHOLE: Final = {"STOP", "MAX_TOKENS"}
FILTERS: Final = {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"}
CONTINUED: Final = "CONTINUATION"
"""Reasons to finish: those that leave an answer, those that took it away, and the one with a token by which the rest is
asked for. Every other one is a failure."""

_FIELDS: Final = (b":", b"event:", b"id:", b"retry:")
_RETRY_DELAY: Final = re.compile(rb'"retryDelay":\s*"([0-9.]+)s"')


class _Part(msgspec.Struct):
    text: str | None = None
    thought: bool | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    continuation_token: str | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None

    def counts(self) -> tuple[int, int]:
        """Return what was read and what was written. Thoughts count as written, as everywhere."""
        return self.prompt_token_count or 0, (self.candidates_token_count or 0) + (self.thoughts_token_count or 0)


class _Response(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    error: object = None


_responses: msgspec.json.Decoder[_Response | list[_Response]] = msgspec.json.Decoder(_Response | list[_Response])


class GeminiReader:
    """Reads one answer, which may be told in several bodies, one after the other.

    Attributes:
        ended: whether Gemini said that the answer is whole, or that this body is.
        continuation: by what the rest of an answer is asked for, when this body is not all of it.
    """

    def __init__(self) -> None:
        self.ended = False
        self.continuation: str | None = None
        self._token: str | None = None
        self._asked_for: str | None = None
        self._streamed = True
        self._lines = Lines()
        self._other = bytearray()
        self._left = ANSWER_LIMIT
        self._usage: _Usage | None = None
        self._spent = (0, 0)

    def begin(self, *, streamed: bool = True) -> None:
        """Say that a body begins: an event stream, or JSON as a whole where something between does not stream."""
        if self._usage is not None:
            self._spent = self._counts()
            self._usage = _Usage()
        self._asked_for, self.continuation, self._token = self.continuation, None, None
        self.ended, self._streamed = False, streamed
        self._lines, self._other = Lines(), bytearray()

    @property
    def usage(self) -> TokenUsage | None:
        """The tokens of all bodies, where they tell them and a table can hold them."""
        counts = self._counts()
        believed = self._usage is not None and min(counts) >= 0 and max(counts) <= MOST_TOKENS
        return TokenUsage(*counts) if believed else None

    def feed(self, data: bytes) -> Iterator[Text | Reasoning]:
        """Read the next bytes, and yield what they complete, neighbours of a kind joined; then raise what is wrong.

        Raises:
            VendorFault: when the answer carries an error, or ends for a reason that leaves none.
            ProviderError: when the prompt or the answer was filtered, or is too large.
            msgspec.DecodeError: or another of `faults.UNREADABLE`.
        """
        self._left -= len(data)
        if self._left < 0:
            raise ProviderError("The model's answer is too large.")
        if not self._streamed:
            self._other += data
            return
        pieces: list[Text | Reasoning] = []
        try:
            for line in self._lines.feed(data):
                self._read_line(line, pieces)
        finally:
            yield from joined(pieces)

    def close(self) -> Iterator[Text | Reasoning]:
        """Say that the body is over, and yield what was not told before.

        Raises:
            ProviderError: when nothing said that the answer is whole; besides what `feed` raises.
        """
        pieces: list[Text | Reasoning] = []
        try:
            if self._streamed:
                self._read_line(self._lines.close(), pieces)
            else:
                self._read(bytes(self._other), pieces)
        finally:
            yield from joined(pieces)
        if self.ended:
            return
        if self._streamed and self._other:
            raise fault(bytes(self._other))
        raise ProviderError(CUT_SHORT)

    def _read_line(self, line: bytes, pieces: list[Text | Reasoning]) -> None:
        if line.startswith(b"data:"):
            if payload := line[5:].strip():
                self._read(payload, pieces)
        elif line and not line.startswith(_FIELDS):
            self._other += line  # an error may stand there bare, over several lines

    def _read(self, payload: bytes, pieces: list[Text | Reasoning]) -> None:
        """Read a chunk, or all of them in a list, and add what they say to `pieces`."""
        said = _decoded(payload)
        for response in said if isinstance(said, list) else (said,):
            if response.error is not None:
                raise fault(payload)
            self._take(response, pieces)

    def _take(self, response: _Response, pieces: list[Text | Reasoning]) -> None:
        if response.prompt_feedback is not None and response.prompt_feedback.block_reason:
            raise ProviderError(FILTERED)
        self._usage = response.usage_metadata or self._usage
        if not response.candidates:
            return
        candidate = response.candidates[0]
        if candidate.content is not None and (parts := candidate.content.parts):
            pieces += [(Reasoning if part.thought else Text)(part.text) for part in parts if part.text]
        self._token = candidate.continuation_token or self._token
        if candidate.finish_reason:
            self._finish(candidate.finish_reason.upper())

    def _finish(self, reason: str) -> None:
        """Take in why the answer ends, or raise what kept it from being whole."""
        if reason in FILTERS:
            raise ProviderError(FILTERED)
        if reason == CONTINUED and self._token not in {None, self._asked_for}:
            self.continuation = self._token
        elif reason not in WHOLE:
            raise VendorFault(0, reason)
        self.ended = True

    def _counts(self) -> tuple[int, int]:
        read, written = self._usage.counts() if self._usage else (0, 0)
        return self._spent[0] + read, self._spent[1] + written


def fault(body: bytes, *, status: int = 0, retry_after: str | None = None) -> VendorFault:
    """Return what an error says. How long to wait stands in its details, and seldom in a header besides."""
    delay = _RETRY_DELAY.search(body)
    return VendorFault.read(body, status=status, retry_after=delay[1].decode() if delay else retry_after)


def _decoded(payload: bytes) -> _Response | list[_Response]:
    try:
        return _responses.decode(payload)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        try:
            value = json.loads(payload)  # takes half of a surrogate pair, which a text that is cut may end with
        except ValueError:
            raise error from None
    return msgspec.convert(value, _Response | list[_Response])
