"""What a client reads of an answer: every dialect's frames, as far as they have come."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from tests.chaos.ledger import Attempt, Told

_OUTCOMES: Final = {"success": "complete", "stopped": "stopped", "error": "failed"}


class Hearing:
    """Notes a stream's frames in an attempt. What is not a whole frame yet waits for its end."""

    def __init__(self, attempt: Attempt, on_last_word: Callable[[], None]) -> None:
        """Begin behind what the attempt has heard."""
        self._attempt = attempt
        self._on_last_word = on_last_word
        self._rest = b""
        self.pieces = 0

    def feed(self, data: bytes) -> None:
        """Read on."""
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            fields = dict(line.split(": ", 1) for line in frame.decode().splitlines())
            value = json.loads(fields["data"])
            self._attempt.last_id = fields.get("id", self._attempt.last_id)
            if "event" in fields:
                self._native(fields["event"], value)
            elif "type" in value:
                self._team(value["type"], value["data"])
            else:
                self._book(value)

    def _says(self, text: str) -> None:
        self._attempt.heard += text
        self.pieces += 1

    def _native(self, kind: str, value: Mapping[str, Any]) -> None:
        match kind:
            case "text":
                self._says(value["text"])
            case "started":
                self._attempt.started_saved = self._attempt.started_saved or value["saved"]
                self._attempt.history = value.get("history")
                self._attempt.message_id = UUID(value["message_id"])
                self._attempt.conversation_id = UUID(value["conversation_id"])
            case "finished":
                self._ends("stopped" if value["stopped"] else "complete", value, value["text"])
            case "failed" if value["over"]:
                self._attempt.code = value["code"]
                self._ends("failed", value, value["text"])
            case "failed":
                self._attempt.cut = value["code"]
            case _:
                pass

    def _team(self, kind: str, value: Mapping[str, Any]) -> None:
        match kind:
            case "message":
                self._says(value["content"])
            case "done":
                self._ends("stopped" if "stopped" in value["message"] else "complete", value, None)
            case "error":
                self._attempt.code = value["code"]
                self._ends("failed", value, None)
            case _:
                pass

    def _book(self, value: Mapping[str, Any]) -> None:
        if value["status"] == "partial":
            self._says(value["content"])
            return
        outcome = _OUTCOMES[value["status"]]
        self._attempt.code = value.get("code")
        self._ends(outcome, value, None if outcome == "failed" else value["content"])

    def _ends(self, outcome: Any, value: Mapping[str, Any], text: str | None) -> None:
        self._attempt.told = told(outcome, value, text, self._attempt)
        self._on_last_word()


def whole(value: Mapping[str, Any], attempt: Attempt) -> None:
    """Note an answer that came in one piece."""
    attempt.told = told(_OUTCOMES[value["status"]], value, value["content"], attempt)
    attempt.heard = value["content"]


def told(outcome: Any, value: Mapping[str, Any], text: str | None, attempt: Attempt) -> Told:
    """Return a last word. Its ids are those of the stream's beginning, where it has none itself."""
    message_id, conversation_id = value.get("message_id"), value.get("conversation_id")
    attempt.message_id = UUID(message_id) if message_id else attempt.message_id
    attempt.conversation_id = UUID(conversation_id) if conversation_id else attempt.conversation_id
    return Told(
        outcome=outcome,
        saved=value["saved"],
        spooled=value.get("spooled", False),
        message_id=attempt.message_id,
        conversation_id=attempt.conversation_id,
        text=text,
    )
