"""A turn's events a second time: from the batches of an answer that is being written, or from one that is there."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from lib.chat.events import (
    Failed,
    Finished,
    ReasoningDelta,
    Source,
    Sources,
    Started,
    Status,
    TextDelta,
    TurnEvent,
    Usage,
)
from lib.chat.position import START, Position
from lib.db.session import Database
from lib.db.tenant import Tenant
from lib.errors import DatabaseUnavailable, Interrupted, error_named
from lib.store import streams
from lib.store.streams import Answer

POLL: Final = 0.25
"""Seconds between two looks at an answer that another instance may be writing."""
PATIENCE: Final = 10.0
"""Seconds that a reader waits for a database that has gone away."""

_KINDS: Final[dict[str, type[TurnEvent]]] = {
    kind.__name__: kind for kind in (Started, Status, Sources, TextDelta, ReasoningDelta, Usage, Finished, Failed)
}
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(list[tuple[str, msgspec.Raw]]).decode


@dataclass(frozen=True, slots=True)
class Followed:
    """Whose answer is followed, and from where on."""

    tenant: Tenant
    user_id: UUID | None
    conversation_id: UUID
    answer_id: UUID
    position: Position = START


def pack(events: Sequence[TurnEvent]) -> bytes:
    """Return events as MessagePack, neighbouring pieces of text as one."""
    return _pack([(type(event).__name__, event) for event in _joined(events)])


def unpack(packed: bytes) -> Iterator[TurnEvent]:
    """Yield the events that `pack` was given."""
    for kind, fields in _unpack(packed):
        yield msgspec.msgpack.decode(fields, type=_KINDS[kind])


async def follow(
    database: Database, followed: Followed, recall: Callable[[TurnEvent], None] | None = None
) -> AsyncGenerator[TurnEvent]:
    """Yield what comes after a position of a turn, to its end, whichever instance runs it. Nothing comes twice.

    `recall` is told of what comes before.

    Raises:
        ConversationNotFound, MessageNotFound: before the first event; there is no such answer of this caller.
        Unauthenticated: likewise; or later, when the caller signs out meanwhile.
        DatabaseUnavailable: before the first event.
    """
    reader = _Reader(followed.position, recall)
    clock = asyncio.get_running_loop().time
    answer, heard = await _look(database, followed, reader.number), clock()
    while True:
        for event in reader.read(answer, followed.answer_id):
            yield event
        if answer.status != "streaming" or answer.is_late:
            return
        await asyncio.sleep(POLL)
        try:
            answer, heard = await _look(database, followed, reader.number), clock()
        except DatabaseUnavailable as error:
            if clock() - heard > PATIENCE:
                yield Failed(error.code, str(error), "", saved=False, retry_after=5)
                return


async def _look(database: Database, followed: Followed, after: int) -> Answer:
    async with database.one_statement(followed.tenant) as connection:
        return await streams.read(
            connection,
            team_id=followed.tenant.team_id,
            user_id=followed.user_id,
            conversation_id=followed.conversation_id,
            message_id=followed.answer_id,
            after=after,
        )


class _Reader:
    """Keeps in mind what was read, and leaves it out of whatever record of the turn comes next."""

    def __init__(self, position: Position, recall: Callable[[TurnEvent], None] | None) -> None:
        self.number = 0
        self._recall = recall
        self._position = position
        self._at = START

    def read(self, answer: Answer, answer_id: UUID) -> Iterator[TurnEvent]:
        """Yield what is new in an answer as it stands now."""
        if answer.status != "streaming" or answer.is_late:
            self._at = START
            yield from self._unread(told(answer, answer_id))
            return
        for number, packed in answer.batches:
            if number != self.number + 1:
                return  # one of them is missing: the rest comes with the answer's end
            self.number = number
            yield from self._unread(unpack(packed))

    def _unread(self, events: Iterable[TurnEvent]) -> Iterator[TurnEvent]:
        for event in events:
            rest = self._position.beyond(event, self._at)
            self._at = self._at.after(event)
            if rest is not None:
                self._position = self._position.after(rest)
                yield rest
            elif self._recall is not None:
                self._recall(event)


def told(answer: Answer, answer_id: UUID) -> Iterator[TurnEvent]:
    """Yield the events of a turn that is over, but for its statuses, which nobody keeps."""
    yield Started(answer.conversation_id, answer_id, saved=True)
    if answer.retrieval:
        yield Sources(tuple(_source(source) for source in answer.sources), answer.retrieval)  # pyright: ignore[reportArgumentType]
    if answer.reasoning:
        yield ReasoningDelta(answer.reasoning)
    if answer.text:
        yield TextDelta(answer.text)
    usage = None
    if answer.input_tokens is not None and answer.output_tokens is not None:
        usage = Usage(answer.input_tokens, answer.output_tokens)
        yield usage
    if answer.status in {"complete", "stopped"} and answer.finished_at is not None:
        cited = tuple(source["index"] for source in answer.sources if source.get("cited"))
        stopped = answer.status == "stopped"
        yield Finished(answer.text, cited, usage, answer.model or "", True, answer.finished_at, stopped)
    else:
        kind = error_named(answer.error_code or Interrupted.code)
        yield Failed(kind.code, kind.detail, answer.text, saved=True)


def _source(stored: dict[str, Any]) -> Source:
    return msgspec.convert({name: value for name, value in stored.items() if name != "cited"}, Source)


def _joined(events: Sequence[TurnEvent]) -> list[TurnEvent]:
    joined: list[TurnEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            joined[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta):
            joined[-1] = ReasoningDelta(last.text + event.text)
        else:
            joined.append(event)
    return joined
