"""What n8n replied, as `tests/providers/n8n/record.py` wrote it down."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPLIES: Final = Path(__file__).parent / "n8n" / "replies"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One reply.

    Attributes:
        status: its status.
        content_type: as its header had it; None without one.
        pieces: its body, cut as n8n cut it.
    """

    status: int
    content_type: str | None
    pieces: tuple[bytes, ...]

    @classmethod
    def of(cls, path: Path) -> "Recorded":
        """Read the file of a reply."""
        told = json.loads(path.read_text())
        return cls(told["status"], told["content_type"], tuple(piece.encode() for piece in told["chunks"]))

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces)


RECORDED: Final = {path.stem: Recorded.of(path) for path in sorted(REPLIES.glob("*.json"))}
"""All replies, by the names of their files."""
