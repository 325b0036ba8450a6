"""Our own events: SSE with `event`, `id` and `data`, one for each event of the turn.

    event: text
    id: 3
    data: {"text":"Hello"}

Ids count from 1 within a turn. Types: started, status, sources, text, reasoning, usage, finished, failed.
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

_to_json = msgspec.json.Encoder().encode


class NativeEncoder:
    """Spells every event, each with all it knows."""

    media_type: ClassVar[str] = "text/event-stream"

    def __init__(self) -> None:
        """Start counting."""
        self._id = 0

    def encode(self, event: TurnEvent) -> bytes:
        """Return the event as one SSE frame."""
        self._id += 1
        kind = _kind(event)
        return b"event: %b\nid: %d\ndata: %b\n\n" % (kind, self._id, _to_json(event))


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
