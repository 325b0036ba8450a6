"""The flow's chat: a message sent to a new conversation or an old one, and answered whole or as a stream."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lib.auth.callers import Caller
from lib.chat.request import TurnRequest
from lib.encoders.book import BookEncoder
from lib.encoders.native import NativeEncoder
from lib.errors import InvalidRequest
from lib.web import asking
from lib.web.afterwards import after
from lib.web.deps import Chatter, ThisInstance
from lib.web.history import SentHistory, as_history
from lib.web.instance import Instance
from lib.web.json import as_json
from lib.web.text import LONGEST_MESSAGE, SAID

whole = APIRouter(tags=["chat"])
streamed = APIRouter(tags=["chat"])


class FlowMessage(BaseModel):
    """A message. Without a conversation it opens one, with an agent if it names one."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[str, Field(max_length=LONGEST_MESSAGE), SAID]
    conversation_id: UUID | None = None
    agent_id: UUID | None = None
    history: SentHistory = None
    stream: Annotated[bool, Field(description="the path decides: /conversations/chat/stream streams")] = False


@whole.post("/conversations/chat")
async def chat(body: FlowMessage, caller: Chatter, instance: ThisInstance, request: Request) -> Response:
    """Send a message and receive the complete answer."""
    turn, encoder = _turn(body, caller, instance, request), BookEncoder()
    told = encoder.success(await asking.whole(turn, encoder, instance, request))
    answer = {"role": "assistant", "type": "text", "response": told["content"], **told}
    return after(as_json(answer), turn.course.afterwards)


@streamed.post("/conversations/chat/stream")
async def chat_stream(body: FlowMessage, caller: Chatter, instance: ThisInstance, request: Request) -> Response:
    """Send a message and receive the answer as it is written, in our own events."""
    return await asking.streamed(_turn(body, caller, instance, request), NativeEncoder(), instance)


def _turn(body: FlowMessage, caller: Caller, instance: Instance, request: Request) -> TurnRequest:
    asking.refuse_strange_guests(caller, instance)
    if body.conversation_id and body.agent_id:
        raise InvalidRequest("A conversation that goes on keeps its agent: leave out agent_id, or conversation_id.")
    return TurnRequest(
        tenant=caller.tenant(),
        user_id=caller.user_id,
        content=body.message,
        conversation_id=body.conversation_id,
        agent_id=body.agent_id,
        limit=asking.limit_of(caller, instance, request),
        key=asking.key_of(caller, request, body),
        history=as_history(body.history),
        with_agent=body.agent_id is not None,
    )
