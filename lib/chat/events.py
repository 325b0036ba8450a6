"""What happens in a turn, as a small closed union of frozen values.

An event knows no storage, no vendor and no wire. Encoders turn events into bytes; a `match` over them ends in
`assert_never`, so that a new event cannot be forgotten.
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

Retrieval = Literal["used", "empty", "unavailable", "off"]
"""How the search for passages went: some were found, none fits, the search failed or ran late, there is no search."""


History = Literal["loaded", "sent", "unavailable"]
"""Where the conversation so far comes from: the database, or while that is away the client, or nowhere."""


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that the model was given.

    `index` is its number in the prompt and in the answer's `[n]` markers, from 1. `start` and `end` are character
    offsets into the document's text. `score` is the search's own, comparable within one answer only.
    """

    index: int
    title: str
    headings: tuple[str, ...]
    uri: str | None
    document_id: str | None
    start: int | None
    end: int | None
    score: float | None
    text: str


def with_cited(sources: Iterable[Source], cited: Collection[int]) -> list[dict[str, Any]]:
    """Return sources as they are kept and told: each with all it knows, and whether the answer cites it."""
    return [{**asdict(source), "cited": source.index in cited} for source in sources]


@dataclass(frozen=True, slots=True)
class Started:
    """The turn is under way; its ids are known. The first event of every turn."""

    conversation_id: UUID
    message_id: UUID
    saved: bool
    history: History = "loaded"


@dataclass(frozen=True, slots=True)
class Status:
    """Something a person may want to know while waiting."""

    description: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, slots=True)
class Sources:
    """The passages given to the model, before its first token. Empty when the search found none or did not run."""

    sources: tuple[Source, ...]
    retrieval: Retrieval


class TextDelta(msgspec.Struct, frozen=True):
    """The next piece of the answer. There are thousands, and a Struct is made in a fifth of a dataclass's time."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True):
    """The next piece of what the model thinks aloud, where a provider shows it. Not part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider counts them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The whole answer, committed before this is emitted unless `saved` is false. The last event.

    `stopped` says that its reader wanted no more of it: the answer is what had been written by then. `spooled` says
    that the turn waits elsewhere for a database that is away.
    """

    text: str
    cited: tuple[int, ...]
    usage: Usage | None
    model: str
    saved: bool
    at: datetime
    stopped: bool = False
    spooled: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The turn ended without a whole answer. What arrived is kept when `saved` or `spooled` is true. The last event.

    `retry_after` is the seconds after which asking again may succeed, when that is known. `over` is false where only
    this reading of the turn has ended, and the turn may go on: taken up again, it tells the rest.
    """

    code: str
    detail: str
    text: str
    saved: bool
    retry_after: int | None = None
    over: bool = True
    spooled: bool = False


TurnEvent = Started | Status | Sources | TextDelta | ReasoningDelta | Usage | Finished | Failed
