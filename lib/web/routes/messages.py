"""What was said in a conversation: its messages, page by page, what one thinks of them, which branch is shown."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from lib.auth.callers import Caller
from lib.errors import InvalidRequest
from lib.store import messages
from lib.store.messages import Place
from lib.web.deps import Editor, Reader, ThisInstance, Writer
from lib.web.json import as_json
from lib.web.text import PLAIN

router = APIRouter(tags=["messages"])


class Feedback(BaseModel):
    """What a reader thinks of an answer."""

    model_config = ConfigDict(extra="forbid")

    rating: Literal["up", "down"]
    comment: Annotated[str, Field(max_length=2_000), PLAIN] | None = None


class Span(BaseModel):
    """Which messages to show."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    before: UUID | None = None
    after: UUID | None = None
    all: bool = False


async def _one_side(span: Annotated[Span, Query()]) -> Span:
    if span.before and span.after:
        raise InvalidRequest("Messages are before one or after one, not both.")
    return span


@router.get("/{conversation_id}/messages")
async def page(
    conversation_id: UUID, span: Annotated[Span, Depends(_one_side)], caller: Reader, instance: ThisInstance
) -> Response:
    """Show the newest messages, or those right before or after one; oldest first. With `all`, those of every branch."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        found = await messages.page(
            connection,
            _place(caller, conversation_id),
            limit=span.limit,
            before=span.before,
            after=span.after,
            tree=span.all,
        )
        return as_json(found)


@router.get("/{conversation_id}/messages/{message_id}")
async def read(conversation_id: UUID, message_id: UUID, caller: Reader, instance: ThisInstance) -> Response:
    """Show a message."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        return as_json(await messages.find(connection, _place(caller, conversation_id), message_id))


@router.put("/{conversation_id}/messages/{message_id}/feedback")
async def rate(
    conversation_id: UUID, message_id: UUID, given: Feedback, caller: Editor, instance: ThisInstance
) -> Response:
    """Say what one thinks of an answer, in place of what one said before."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        rated = await messages.rate(
            connection, _place(caller, conversation_id), message_id, rating=given.rating, comment=given.comment
        )
        return as_json(rated)


@router.delete("/{conversation_id}/messages/{message_id}/feedback", status_code=204)
async def unrate(conversation_id: UUID, message_id: UUID, caller: Writer, instance: ThisInstance) -> None:
    """Take back what one said of an answer."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        await messages.rate(connection, _place(caller, conversation_id), message_id, rating=None, comment=None)


@router.post("/{conversation_id}/messages/{message_id}/activate")
async def activate(conversation_id: UUID, message_id: UUID, caller: Editor, instance: ThisInstance) -> Response:
    """Show the branch of a message, and answer with the newest messages of what is shown now."""
    place = _place(caller, conversation_id)
    async with instance.database.one_statement(caller.tenant()) as connection:
        await messages.activate(connection, place, message_id)
        return as_json(await messages.page(connection, place, limit=SHOWN))


SHOWN = 200
"""How many messages are shown of a branch that was switched to."""


def _place(caller: Caller, conversation_id: UUID) -> Place:
    return Place(team_id=caller.team_id, user_id=caller.user, conversation_id=conversation_id)
