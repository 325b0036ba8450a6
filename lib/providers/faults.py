"""Vendors' failures, as ours.

The one place that reads a vendor's own words about a failure. They go to the log, shortened and without what we sent,
and nowhere else.
"""

import json
import logging
import math
import re
from collections.abc import Collection, Generator
from contextlib import contextmanager
from itertools import groupby
from typing import Final, Self

import aiohttp
import msgspec

from lib.errors import ContextTooLong, ProviderError, ProviderRateLimited, ProviderRefused, ProviderTimeout

_log = logging.getLogger("parley.providers")

CUT_SHORT: Final = "The model stopped in the middle of its answer."
FILTERED: Final = "The model's provider filtered this answer."
LOGGED_CHARACTERS: Final = 300
READ_CHARACTERS: Final = 4 * LOGGED_CHARACTERS
QUOTED: Final = 12
"""So many characters in a row that are also in what was sent are taken for a quotation of it."""
HIDDEN: Final = "[...]"
LONGEST_RETRY_AFTER: Final = 3600
GATEWAY: Final = 502
"""From this status on it is not the model that answers, or it says that it cannot. A 500 may be one prompt's fault."""
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON that was expected."""

# OpenAI, llama.cpp, vLLM, Gemini and Anthropic's compatible endpoint, in this order.
_TOO_LONG = re.compile(
    r"context[_ ]length|context[_ ]size|maximum model length|maximum number of tokens allowed|prompt is too long",
    re.IGNORECASE,
)
# Gemini refuses a wrong key with 400.
_WRONG_KEY = re.compile(r"api[_ ]key[_ ](not valid|invalid)", re.IGNORECASE)


class _Words(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None


class _Body(_Words):
    error: _Words | str | None = None


_body: msgspec.json.Decoder[_Body | list[_Body]] = msgspec.json.Decoder(_Body | list[_Body])


class VendorFault(Exception):
    """What a vendor said instead of an answer: an HTTP status (0 when unknown), its words, seconds until a retry."""

    def __init__(self, status: int, words: str, retry_after: int | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.words = words
        self.retry_after = retry_after

    @classmethod
    def read(cls, body: bytes, *, status: int = 0, retry_after: str | None = None) -> Self:
        """Read a fault out of an error's body and its `Retry-After`. Without a status, the body's own code counts."""
        code, words = _told(body)
        return cls(status or code, words, _seconds(retry_after))

    def as_ours(self) -> ProviderError:
        """Return the error of ours that this fault is."""
        if self.status in {401, 403, 404} or (self.status == 400 and _WRONG_KEY.search(self.words)):
            return ProviderRefused()
        if self.status == 429:
            return ProviderRateLimited(retry_after=self.retry_after)
        if self.status < 500 and _TOO_LONG.search(self.words):
            return ContextTooLong()
        return ProviderError(away=self.status >= GATEWAY)


@contextmanager
def faults_as_ours(model: str, sent: Collection[str]) -> Generator[None]:
    """Turn whatever a vendor or its connection does into a `ProviderError` or a child of it, and log it once.

    Args:
        model: whose failure it is, for the log.
        sent: what was sent, keys and messages, which the log must not repeat.
    """
    try:
        yield
    except ProviderError as error:
        ours, words = error, str(error)
    except VendorFault as fault:
        ours, words = fault.as_ours(), f"{fault.status} {_without(sent, fault.words)}"
    except TimeoutError as error:
        ours, words = ProviderTimeout(), type(error).__name__
    except aiohttp.ClientPayloadError as error:
        ours, words = ProviderError(CUT_SHORT, away=True), type(error).__name__
    except aiohttp.ClientConnectionError as error:
        ours, words = ProviderError(away=True), type(error).__name__  # its text may hold the host
    except (aiohttp.ClientError, *UNREADABLE) as error:
        ours, words = ProviderError(), type(error).__name__  # its text may hold the request, and so the key
    else:
        return
    _log.warning("model %s failed with %s: %s", model, ours.code, words[:LOGGED_CHARACTERS])
    raise ours from None


def _told(body: bytes) -> tuple[int, str]:
    """Return the status that an error's body names, or 0, and its words. They are none when its shape is unknown."""
    try:
        said = _body.decode(body)
    except msgspec.ValidationError:
        return 0, ""  # such JSON may repeat the prompt
    except UNREADABLE:
        is_json = body.lstrip().startswith((b"{", b"["))  # cut off, and it may repeat the prompt too
        return 0, "" if is_json else body.decode(errors="replace")
    if isinstance(said, list):
        said = said[0] if said else _Body()
    if isinstance(said.error, str):
        return 0, said.error
    words = said.error or said
    status, name = (words.code, None) if isinstance(words.code, int) else (0, words.code)
    return status, " ".join(word for word in (name, words.type, words.message) if word)


def _without(sent: Collection[str], words: str) -> str:
    """Take out what was sent, as it was and as JSON or Python would quote it, whole or in part."""
    words = words[:READ_CHARACTERS]
    spellings = {spelling for secret in filter(None, sent) for spelling in _spellings(secret)}
    for spelling in sorted(spellings, key=len, reverse=True):
        words = words.replace(spelling, HIDDEN)
    starts = range(len(words) - QUOTED + 1)
    quoted = [start for start in starts if any(words[start : start + QUOTED] in spelling for spelling in spellings)]
    hidden = {place for start in quoted for place in range(start, start + QUOTED)}
    runs = groupby(range(len(words)), hidden.__contains__)
    return "".join(HIDDEN if is_hidden else "".join(words[place] for place in run) for is_hidden, run in runs)


def _spellings(secret: str) -> tuple[str, ...]:
    quoted = (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret))
    return (secret, *(quotation[1:-1] for quotation in quoted))


def _seconds(retry_after: str | None) -> int | None:
    """Read `Retry-After` in seconds; a date, or a wait that no one would sit out, counts as none."""
    try:
        seconds = math.ceil(float(retry_after or ""))
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds <= LONGEST_RETRY_AFTER else None
