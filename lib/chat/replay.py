"""A turn's events a second time: from the batches of an answer that is being written, or from one that is there."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec

from lib.chat.batches import in_a_row, unpack
from lib.chat.events import (
    Failed,
    Finished,
    ReasoningDelta,
    Source,
    Sources,
    Started,
    TextDelta,
    TurnEvent,
    Usage,
)
from lib.chat.position import START, Position
from lib.db.session import Database
from lib.db.tenant import Tenant
from lib.errors import DatabaseBusy, DatabaseUnavailable, Interrupted, ParleyError, ScopeMissing, error_named
from lib.store import streams
from lib.store.streams import Answer
from lib.turns import EndedTurn
from lib.unhindered import begin

POLL: Final = 0.25
"""Seconds between two looks at an answer that another instance may be writing."""
PATIENCE: Final = 10.0
"""Seconds that a reader waits for a database that has gone away."""
WAIT: Final = 5
"""Seconds after which such a reader may come back."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Whose answer is followed, and from where on.

    `may_read` says whether an answer that is over may be told again. One that is being written is followed without.
    """

    tenant: Tenant
    user_id: UUID | None
    conversation_id: UUID
    answer_id: UUID
    position: Position = START
    may_read: bool = True

    @property
    def named(self) -> dict[str, Any]:
        """Whose answer it is, and which, by the names of the store."""
        return {
            "team_id": self.tenant.team_id,
            "user_id": self.user_id,
            "conversation_id": self.conversation_id,
            "message_id": self.answer_id,
        }


async def follow(
    database: Database, followed: Followed, recall: Callable[[TurnEvent], None] | None = None
) -> AsyncGenerator[TurnEvent]:
    """Yield `Started`, and what comes after a position of a turn, to its end, whichever instance runs it.

    `Started` comes at once, also to a reader who has had it, and nothing else comes twice; `recall` is told of what
    comes before. Of a turn that is over nothing at all comes to a reader who has had its last event. What goes wrong
    later is told as a `Failed` that ends this reading alone.

    Raises:
        ConversationNotFound, MessageNotFound: before the first event; there is no such answer of this caller.
        ScopeMissing: likewise; the answer is over, and the caller may follow only what is being written.
        Unauthenticated: likewise; the caller is signed in no longer.
        DatabaseUnavailable: likewise.
    """
    started = Started(followed.conversation_id, followed.answer_id, saved=True)
    reader = _Reader(followed.answer_id, followed.position.after(started), recall)
    answer = await _look(database, followed)
    if _is_over(answer) and not followed.may_read:
        raise ScopeMissing("This answer is over: to receive it again an API key needs the scope 'read'.")
    rest = list(reader.read(answer))
    if _is_over(answer) and not rest:
        return
    yield started
    for event in rest:
        yield event
    while not _is_over(answer):
        await asyncio.sleep(POLL)
        try:
            answer = await _look_patiently(database, followed, reader.number)
        except ParleyError as error:
            yield Failed(error.code, str(error), "", saved=False, retry_after=error.retry_after, over=False)
            return
        for event in reader.read(answer):
            yield event


def _is_over(answer: Answer) -> bool:
    """Tell whether nobody writes it any more."""
    return answer.status != "streaming" or answer.is_late


async def _look_patiently(database: Database, followed: Followed, after: int) -> Answer:
    """Look again until the database is back."""
    clock = asyncio.get_running_loop().time
    until = clock() + PATIENCE
    while True:
        try:
            answer = await _look(database, followed, after)
            # Of an answer that nobody writes any more, what is left is told from its first batch on.
            return await _look(database, followed) if answer.is_late and after else answer
        except (DatabaseUnavailable, DatabaseBusy) as error:
            if clock() > until:
                raise DatabaseUnavailable(retry_after=WAIT) from error
        await asyncio.sleep(POLL)


async def _look(database: Database, followed: Followed, after: int = 0) -> Answer:
    async with _one_at_a_time(database):
        looking = begin(_read(database, followed, after))
        try:
            return await asyncio.shield(looking)
        except asyncio.CancelledError:  # its reader hung up: the next one has to wait for the connection all the same
            with suppress(ParleyError):
                await asyncio.shield(looking)
            raise


async def _read(database: Database, followed: Followed, after: int) -> Answer:
    async with database.one_statement(followed.tenant) as connection:
        return await streams.read(connection, **followed.named, after=after)


_looking: Final[WeakKeyDictionary[Database, asyncio.Semaphore]] = WeakKeyDictionary()


def _one_at_a_time(database: Database) -> asyncio.Semaphore:
    """Return what lets one reader look at a time: however many there are, they take one connection of the pool."""
    return _looking.setdefault(database, asyncio.Semaphore(1))


class _Reader:
    """Keeps in mind what was read, and leaves it out of whatever record of the turn comes next."""

    def __init__(self, answer_id: UUID, position: Position, recall: Callable[[TurnEvent], None] | None) -> None:
        self.number = 0
        self._answer_id = answer_id
        self._recall = recall
        self._position = position
        self._at = START

    def read(self, answer: Answer) -> Iterator[TurnEvent]:
        """Yield what is new in an answer as it stands now: in its batches since the last, or in the whole of it."""
        if _is_over(answer):
            self._at = START
            yield from self._unread(_left(answer) if answer.is_late else told(answer, self._answer_id))
            return
        for packed in in_a_row(answer.batches, self.number):  # what comes behind a gap comes with the answer's end
            self.number += 1
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


def _left(answer: Answer) -> Iterator[TurnEvent]:
    """Yield the events of an answer that nobody writes any more, and that is not closed yet."""
    said = ""
    for packed in in_a_row(answer.batches):
        for event in unpack(packed):
            if isinstance(event, TextDelta):
                said += event.text
            yield event
    yield Failed(Interrupted.code, Interrupted.detail, said, saved=True)


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


async def told_waiting(ended: EndedTurn) -> AsyncGenerator[TurnEvent]:
    """Yield the events of a turn that is over, and waits in the spool for the database."""
    result = ended.result
    answer = Answer(
        conversation_id=ended.turn.conversation_id,
        status=result.outcome,
        is_late=False,
        age_ms=result.total_ms or 0,
        agent_id=result.agent_id,
        text=result.text,
        reasoning=result.reasoning,
        sources=result.sources or [],
        retrieval=result.retrieval,
        model=result.model,
        input_tokens=result.input_tokens,
        output_tokens=result.output_tokens,
        error_code=result.error_code,
        finished_at=result.finished_at,
        batches=(),
    )
    for event in told(answer, ended.turn.answer_id):
        match event:
            case Started():
                yield replace(event, saved=ended.begun, history=result.history)
            case Finished() | Failed():
                yield replace(event, saved=False, spooled=True)
            case _:
                yield event


def _source(stored: dict[str, Any]) -> Source:
    return msgspec.convert({name: value for name, value in stored.items() if name != "cited"}, Source)
