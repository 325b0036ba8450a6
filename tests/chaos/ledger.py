"""The client's own account of a seed: what it sent, what it was told, and what it never heard of again."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from tests.chaos.plan import Step
from tests.fixtures.people import Asker


@dataclass(frozen=True, slots=True)
class Told:
    """The last word of a turn: how it ended, and what became of it.

    `text` is the answer as the last word has it; None where that does not repeat it.
    """

    outcome: Literal["complete", "stopped", "failed"]
    saved: bool
    spooled: bool
    message_id: UUID | None
    conversation_id: UUID | None
    text: str | None = None

    def __str__(self) -> str:
        return f"{self.outcome}, {'saved' if self.saved else 'spooled' if self.spooled else 'kept nowhere'}"

    @property
    def acknowledged(self) -> bool:
        """Whether the answer was promised to be there, now or once the database is back."""
        return (self.saved or self.spooled) and self.message_id is not None


@dataclass(slots=True)
class Attempt:
    """One request, and all that came of it. Times are of the monotonic clock.

    Attributes:
        status: of the answer; None where there was none.
        code: of an error.
        started_saved: the stream's first event said that the question is committed.
        history: where the stream says that it knows what was said before from.
        heard: the pieces of the answer that were streamed, in a row.
        told: the last word, where it came.
        cut: why there was none.
        resumed: the stream was taken up again.
    """

    began: float
    ended: float = 0.0
    status: int | None = None
    code: str | None = None
    message_id: UUID | None = None
    conversation_id: UUID | None = None
    started_saved: bool = False
    history: str | None = None
    heard: str = ""
    last_id: str = ""
    told: Told | None = None
    cut: str | None = None
    resumed: bool = False

    def __str__(self) -> str:
        came = str(self.told) if self.told else None
        why = " ".join(filter(None, [str(self.status or "no answer"), self.code, self.cut, came]))
        begun = " question saved" if self.started_saved else ""
        return f"{why}{begun}{' resumed' if self.resumed else ''} {self.message_id or ''} {self.heard[-40:]!r}"


@dataclass(slots=True)
class Turn:
    """A question that somebody put, once or, with a key, until it was answered.

    Attributes:
        marker: names its question. One that is answered again has the marker of the first time.
        conversation_id: where it was put; None for a new conversation.
        target: the message at which it leaves the path.
        key: its `Idempotency-Key`.
        tells_history: what was said before was sent along.
    """

    step: Step
    asker: Asker
    team_id: UUID
    marker: str
    question: str
    conversation_id: UUID | None
    target: UUID | None
    key: str | None
    does: Literal["say", "edit", "regenerate"]
    tells_history: bool
    attempts: list[Attempt] = field(default_factory=list[Attempt])

    @property
    def acknowledged(self) -> list[Told]:
        """Return the last words that promised something, one for each answer."""
        said = {told.message_id: told for told in self.told if told.acknowledged}
        return list(said.values())

    @property
    def told(self) -> Iterator[Told]:
        """Yield all last words."""
        return (attempt.told for attempt in self.attempts if attempt.told)


@dataclass(slots=True)
class Ledger:
    """All turns of a seed, and the conversations that were opened without a question.

    `began` is when the seed did, by the monotonic clock.
    """

    seed: int
    began: float = field(default_factory=time.monotonic)
    turns: list[Turn] = field(default_factory=list[Turn])
    opened: list[UUID] = field(default_factory=list[UUID])
    _words: int = 0
    _waiting: list[tuple[int, asyncio.Event]] = field(default_factory=list[tuple[int, asyncio.Event]])

    def heard_a_last_word(self) -> None:
        """Note that a client was just told how a turn ended."""
        self._words += 1
        for word, event in self._waiting:
            if word <= self._words:
                event.set()

    async def last_word(self, number: int) -> None:
        """Return at the moment in which so many were heard."""
        event = asyncio.Event()
        self._waiting.append((number, event))
        if self._words < number:
            await event.wait()

    def story(self) -> Iterator[str]:
        """Tell of each turn and of its attempts, in seconds from the beginning."""
        for turn in self.turns:
            key = f" key {turn.key[:8]} x{turn.step.copies}" if turn.key else ""
            yield f"{turn.marker} {turn.does} {turn.step.way}{key} in {turn.conversation_id or 'a new conversation'}"
            for attempt in sorted(turn.attempts, key=lambda attempt: attempt.began):
                yield f"    {attempt.began - self.began:.2f}-{attempt.ended - self.began:.2f} {attempt}"
