"""The ids of a stream's events: each spells the position behind its event, where a reader can take it up again."""

from lib.chat.events import Failed, ReasoningDelta, Started, Status, TextDelta, TurnEvent
from lib.chat.position import PLACES, START, Position


class EventIds:
    """Counts as `lib.chat.position.Position` does, without making a value for each token."""

    __slots__ = ("_reasoning", "_statuses", "_text", "_whole")

    def __init__(self, position: Position = START) -> None:
        """Begin where the reader is."""
        self._whole = position.whole
        self._text = position.text
        self._reasoning = position.reasoning
        self._statuses = position.statuses

    def of(self, event: TurnEvent) -> bytes:
        """Return the id of the next event; none of a `Started` that the reader has had.

        The end of this reading alone has the id of the event before it: the rest of the turn comes after that.
        """
        if isinstance(event, TextDelta):
            self._text += len(event.text)
        elif isinstance(event, ReasoningDelta):
            self._reasoning += len(event.text)
        elif isinstance(event, Status):
            self._statuses += 1
        elif isinstance(event, Started) and self._whole:
            return b""
        elif not isinstance(event, Failed) or event.over:
            self._whole = max(self._whole, PLACES[type(event)])
        return b"%d.%d.%d.%d" % (self._whole, self._text, self._reasoning, self._statuses)
