"""The team's frames: `data: {"type": "status" | "message" | "done" | "error", "data": {...}}`.

Source: the chat streaming API guide, "Send Message and Stream Response". Each frame has an id besides, which its
clients pass over.
"""

from typing import Any, ClassVar, assert_never

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
from lib.encoders.memory import Memory

_to_json = msgspec.json.Encoder().encode


class TeamEncoder(Memory):
    """Remembers what the last frame tells of the whole turn: its ids and its sources."""

    media_type: ClassVar[str] = "text/event-stream"

    def __init__(self, position: Position = START) -> None:
        """Begin where the reader is."""
        super().__init__()
        self._ids = EventIds(position)

    def encode(self, event: TurnEvent) -> bytes:
        """Return the event's frame; the document has no word for reasoning, sources and usage on their own."""
        number = self._ids.of(event)
        match event:
            case TextDelta(text):
                return _frame(number, "message", {"content": text})
            case Status(description, level):
                return _frame(number, "status", {"description": description, "level": level, "done": False})
            case Started() | Sources():
                self.recall(event)
            case Finished():
                return _frame(number, "done", self._done(event))
            case Failed():
                return _frame(number, "error", self._error(event))
            case ReasoningDelta() | Usage():
                pass
            case _:
                assert_never(event)
        return b""

    def _done(self, finished: Finished) -> dict[str, Any]:
        return {
            "message": "Stream stopped" if finished.stopped else "Stream completed",
            **self.ids(),
            "sources": self.sources(finished),
            "usage": finished.usage,
            "model": finished.model,
            "saved": finished.saved,
            "spooled": finished.spooled,
            "history": self.history,
        }

    def _error(self, failed: Failed) -> dict[str, Any]:
        kept = {"saved": failed.saved, "spooled": failed.spooled}
        return {"message": failed.detail, "code": failed.code, **self.ids(), **kept}


def _frame(number: bytes, kind: str, data: dict[str, Any]) -> bytes:
    return b"id: %b\ndata: %b\n\n" % (number, _to_json({"type": kind, "data": data}))
