"""The ids of a stream's events: each spells the position behind its event, where a reader can take it up again."""

from lib.chat.events import ReasoningDelta, Status, TextDelta, TurnEvent
from lib.chat.position import START, Position


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
        """Return the id of the next event."""
        if isinstance(event, TextDelta):
            self._text += len(event.text)
        elif isinstance(event, ReasoningDelta):
            self._reasoning += len(event.text)
        elif isinstance(event, Status):
            self._statuses += 1
        else:
            self._whole += 1
        return b"%d.%d.%d.%d" % (self._whole, self._text, self._reasoning, self._statuses)
