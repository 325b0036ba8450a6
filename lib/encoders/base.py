"""What an encoder is: a protocol's spelling of a turn's events."""

from typing import ClassVar, Protocol

from lib.chat.events import TurnEvent


class Encoder(Protocol):
    """Turns the events of one turn into bytes, in order. One instance serves one stream."""

    media_type: ClassVar[str]

    def encode(self, event: TurnEvent) -> bytes:
        """Return the frame or frames of this event; nothing for an event the protocol has no word for."""
        ...

    def recall(self, event: TurnEvent) -> None:
        """Take note of an event that the reader has had already, for what later frames tell of it."""
        ...
