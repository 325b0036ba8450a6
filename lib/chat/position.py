"""How far a reader has come in a turn's events, so that a stream can be taken up again anywhere.

A position holds what only ever grows: the place of the last event that stands for itself, characters of the answer,
characters of the reasoning, statuses. Each event moves one of the four, so every event has a position of its own, and
what lies beyond a position can be told of any record of the turn, however its texts were cut.

Places are fixed. A record may lack an event that its reader has had, as that of a killed function lacks the usage: the
last event lies beyond every other all the same, and whoever has not had one gets one.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Self, assert_never

from lib.chat.events import (
    Failed,
    Finished,
    ReasoningDelta,
    Sources,
    Started,
    Status,
    TextDelta,
    TurnEvent,
    Usage,
)

END: Final = 9
"""The place of the last event, whichever it is."""
PLACES: Final[dict[type[TurnEvent], int]] = {Started: 1, Sources: 2, Usage: 3, Finished: END, Failed: END}
"""The places of the events that stand for themselves."""

_SPELLED: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Position:
    """How far somebody has read.

    Attributes:
        whole: the place of the last event that stands for itself.
        text: characters of the answer.
        reasoning: characters of the reasoning.
        statuses: how many.
    """

    whole: int = 0
    text: int = 0
    reasoning: int = 0
    statuses: int = 0

    @classmethod
    def parse(cls, spelled: str) -> Self | None:
        """Return the position that an event's id spells; None for what is no such id."""
        match = _SPELLED.fullmatch(spelled)
        return cls(*map(int, match.groups())) if match else None

    def __str__(self) -> str:
        """Spell it, as the id of the event that leads here."""
        return f"{self.whole}.{self.text}.{self.reasoning}.{self.statuses}"

    def after(self, event: TurnEvent) -> "Position":
        """Return the position behind an event. One that ends only this reading of the turn leads nowhere."""
        match event:
            case TextDelta(text):
                return replace(self, text=self.text + len(text))
            case ReasoningDelta(text):
                return replace(self, reasoning=self.reasoning + len(text))
            case Status():
                return replace(self, statuses=self.statuses + 1)
            case Failed(over=False):
                return self
            case Started() | Sources() | Usage() | Finished() | Failed():
                return replace(self, whole=max(self.whole, PLACES[type(event)]))
            case _:
                assert_never(event)

    def beyond(self, event: TurnEvent, at: "Position") -> TurnEvent | None:
        """Return what of an event a reader at this position has not read; None when that is nothing.

        Args:
            event: of the same turn.
            at: the position before it.
        """
        match event:
            case TextDelta(text):
                rest = text[max(self.text - at.text, 0) :]
                return TextDelta(rest) if rest else None
            case ReasoningDelta(text):
                rest = text[max(self.reasoning - at.reasoning, 0) :]
                return ReasoningDelta(rest) if rest else None
            case Status():
                return event if at.statuses >= self.statuses else None
            case Started() | Sources() | Usage() | Finished() | Failed():
                return event if PLACES[type(event)] > self.whole else None
            case _:
                assert_never(event)


START: Final = Position()
