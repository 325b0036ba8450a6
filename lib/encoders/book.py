"""The book's frames: `data: {"content", "status"}`, partial until the last, which holds the whole answer.

The last one's status is `success`, or `error`, or `stopped` for an answer that its reader wanted no more of.

Source: the backend agent integration document, "POST /api/v1/chat/stream".
"""

from dataclasses import asdict
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

_to_json = msgspec.json.Encoder().encode


class BookEncoder:
    """Remembers what the last frame tells of the whole turn: its ids and its sources."""

    media_type: ClassVar[str] = "text/event-stream"

    def __init__(self) -> None:
        """Start with a turn of which nothing is known."""
        self._started: Started | None = None
        self._sources = Sources((), "off")

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

    def recall(self, event: TurnEvent) -> None:
        """Take note of the turn's ids and sources, which the last frame tells."""
        if isinstance(event, Started):
            self._started = event
        elif isinstance(event, Sources):
            self._sources = event

    def success(self, finished: Finished) -> dict[str, Any]:
        """Return the whole answer, as the last frame and the answer in one piece show it."""
        cited = set(finished.cited)
        return {
            "content": finished.text,
            **self._ids(),
            "timestamp": finished.at,
            "status": "stopped" if finished.stopped else "success",
            "sources": [{**asdict(source), "cited": source.index in cited} for source in self._sources.sources],
            "retrieval": self._sources.retrieval,
            "usage": finished.usage,
            "model": finished.model,
            "saved": finished.saved,
        }

    def _error(self, failed: Failed) -> dict[str, Any]:
        return {
            "content": failed.detail,
            **self._ids(),
            "status": "error",
            "code": failed.code,
            "saved": failed.saved,
        }

    def _ids(self) -> dict[str, Any]:
        started = self._started
        return {
            "message_id": started and started.message_id,
            "conversation_id": started and started.conversation_id,
        }


def _frame(data: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _to_json(data)
