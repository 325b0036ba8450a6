"""The conversation so far, as a client may send it along for the time when the database cannot say."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lib.chat.prompt import HISTORY_MESSAGES
from lib.turns import SaidMessage
from lib.web.text import LONGEST_MESSAGE, PLAIN


class SaidBefore(BaseModel):
    """A message of the conversation so far."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"]
    content: Annotated[str, Field(max_length=LONGEST_MESSAGE), PLAIN]


SentHistory = Annotated[
    list[SaidBefore] | None,
    Field(
        max_length=HISTORY_MESSAGES,
        description="what was said last, oldest first: read only while the database is away",
    ),
]


def as_history(sent: list[SaidBefore] | None) -> tuple[SaidMessage, ...] | None:
    """Return what was sent as a turn takes it."""
    if sent is None:
        return None
    now = datetime.now(UTC)
    return tuple(SaidMessage(message.role, message.content, now) for message in sent)
