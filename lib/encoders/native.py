"""Our own events: SSE with `event`, `id` and `data`, one for each event of the turn.

    event: text
    id: 2.5.0.0
    data: {"text":"Hello"}

An id spells the position behind its event (`lib/chat/position.py`): a reader who sends it back as `Last-Event-ID` gets
what comes after. Types: started, status, sources, text, reasoning, usage, finished, failed.
"""

from typing import ClassVar, assert_never

import msgspec

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
from lib.chat.position import START, Position
from lib.encoders.ids import EventIds

_to_json = msgspec.json.Encoder().encode


class NativeEncoder:
    """Spells every event, each with all it knows."""

    media_type: ClassVar[str] = "text/event-stream"

    def __init__(self, position: Position = START) -> None:
        """Begin where the reader is."""
        self._ids = EventIds(position)

    def encode(self, event: TurnEvent) -> bytes:
        """Return the event as one SSE frame; nothing for a `Started` that the reader has had."""
        if not (number := self._ids.of(event)):
            return b""
        return b"event: %b\nid: %b\ndata: %b\n\n" % (_kind(event), number, _to_json(event))

    def recall(self, event: TurnEvent) -> None:
        """Take no note: each event tells of itself alone."""


def _kind(event: TurnEvent) -> bytes:
    match event:
        case TextDelta():
            return b"text"
        case Started():
            return b"started"
        case Status():
            return b"status"
        case Sources():
            return b"sources"
        case ReasoningDelta():
            return b"reasoning"
        case Usage():
            return b"usage"
        case Finished():
            return b"finished"
        case Failed():
            return b"failed"
        case _:
            assert_never(event)
