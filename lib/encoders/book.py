"""The book's frames: `data: {"content", "status"}`, partial until the last, which holds the whole answer.

The last one's status is `success`, or `error`, or `stopped` for an answer that its reader wanted no more of.

Source: the backend agent integration document, "POST /api/v1/chat/stream".
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
from lib.encoders.memory import Memory

_to_json = msgspec.json.Encoder().encode


class BookEncoder(Memory):
    """Remembers what the last frame tells of the whole turn: its ids and its sources."""

    media_type: ClassVar[str] = "text/event-stream"

    def encode(self, event: TurnEvent) -> bytes:
        """Return the event's frame; the document has no word for statuses, reasoning and usage on their own."""
        match event:
            case TextDelta(text):
                return _frame({"content": text, "status": "partial"})
            case Started() | Sources():
                self.recall(event)
            case Finished():
                return _frame(self.success(event))
            case Failed():
                return _frame(self._error(event))
            case Status() | ReasoningDelta() | Usage():
                pass
            case _:
                assert_never(event)
        return b""

    def success(self, finished: Finished) -> dict[str, Any]:
        """Return the whole answer, as the last frame and the answer in one piece show it."""
        return {
            "content": finished.text,
            **self.ids(),
            "timestamp": finished.at,
            "status": "stopped" if finished.stopped else "success",
            "sources": self.sources(finished),
            "retrieval": self.retrieval,
            "usage": finished.usage,
            "model": finished.model,
            "saved": finished.saved,
            "spooled": finished.spooled,
            "history": self.history,
        }

    def _error(self, failed: Failed) -> dict[str, Any]:
        return {
            "content": failed.detail,
            **self.ids(),
            "status": "error",
            "code": failed.code,
            "saved": failed.saved,
            "spooled": failed.spooled,
        }


def _frame(data: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _to_json(data)
