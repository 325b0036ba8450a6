"""The internal save of the book's document: a conversation that was had elsewhere."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from lib.chat.persist import keep_exchange
from lib.chat.retention import retain
from lib.web.deps import InternalCaller, ThisInstance
from lib.web.text import LONGEST_MESSAGE, SAID

router = APIRouter(tags=["conversations"])


class Exchange(BaseModel):
    """A question and its answer, had elsewhere."""

    model_config = ConfigDict(extra="forbid")

    user_id: UUID
    query: Annotated[str, Field(max_length=LONGEST_MESSAGE), SAID]
    response: Annotated[str, Field(max_length=500_000), SAID]


class Kept(BaseModel):
    """Where it is kept."""

    conversation_id: UUID
    message_id: UUID
    saved: bool


@router.post("/api/v1/conversations/internal-save", status_code=201)
async def internal_save(exchange: Exchange, _server: InternalCaller, instance: ThisInstance) -> Kept:
    """Save a conversation that one of your own servers had with a user."""
    kept = await keep_exchange(
        instance.database, user_id=exchange.user_id, query=exchange.query, response=exchange.response
    )
    newest = instance.settings.retention_conversations
    await retain(instance.database, team_id=kept.team_id, user_id=exchange.user_id, newest=newest)
    return Kept(conversation_id=kept.conversation_id, message_id=kept.answer_id, saved=True)
