"""What the last frame of a protocol tells of the whole turn, and earlier events have told."""

from typing import Any

from lib.chat.events import Finished, Sources, Started, TurnEvent, with_cited


class Memory:
    """Remembers a turn's ids and its sources."""

    def __init__(self) -> None:
        """Start with a turn of which nothing is known."""
        self._started: Started | None = None
        self._sources = Sources((), "off")

    def recall(self, event: TurnEvent) -> None:
        """Take note of the turn's ids and sources, which the last frame tells."""
        if isinstance(event, Started):
            self._started = event
        elif isinstance(event, Sources):
            self._sources = event

    def ids(self) -> dict[str, Any]:
        """Return the ids of the answer and its conversation, null while they are not known."""
        started = self._started
        return {
            "message_id": started and started.message_id,
            "conversation_id": started and started.conversation_id,
        }

    def sources(self, finished: Finished) -> list[dict[str, Any]]:
        """Return what the answer was drawn from, and which of it it cites."""
        return with_cited(self._sources.sources, finished.cited)

    @property
    def retrieval(self) -> str:
        """How the search went."""
        return self._sources.retrieval

    @property
    def history(self) -> str:
        """Where the conversation so far came from."""
        return self._started.history if self._started else "loaded"
