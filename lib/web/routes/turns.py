"""Turns in a conversation: a message sent, worded anew or answered again; a stream taken up, and stopped."""

from collections.abc import AsyncGenerator
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lib.auth.callers import Caller
from lib.chat.events import TurnEvent
from lib.chat.position import START, Position
from lib.chat.replay import Followed, follow
from lib.chat.request import TurnRequest
from lib.chat.stopping import stop
from lib.chat.waiting import brought_in
from lib.encoders.base import Encoder
from lib.encoders.native import NativeEncoder
from lib.encoders.team import TeamEncoder
from lib.errors import InvalidRequest
from lib.turns import Branch, SaidMessage
from lib.web import asking
from lib.web.deps import Chatter, ThisInstance
from lib.web.history import SentHistory, as_history
from lib.web.instance import Instance
from lib.web.stream import EventStream
from lib.web.text import LONGEST_MESSAGE, SAID

router = APIRouter(tags=["turns"])

TEAM_PATHS = "/api/chats/"

Dialect = Annotated[
    Literal["team", "native"] | None,
    Query(alias="protocol", description="the frames: by default the team's under /api/chats, else our own events"),
]


class Said(BaseModel):
    """What a user says."""

    model_config = ConfigDict(extra="forbid")

    content: Annotated[str, Field(max_length=LONGEST_MESSAGE), SAID]


class Sent(Said):
    """What a user says, and perhaps what was said before."""

    history: SentHistory = None


class Again(BaseModel):
    """A wish for another answer, which needs no words."""

    model_config = ConfigDict(extra="forbid")


class Stopped(BaseModel):
    """How an answer stands after its reader wanted no more of it."""

    id: UUID
    status: Literal["streaming", "complete", "stopped", "interrupted", "failed"]


@router.post("/{conversation_id}/messages")
async def send(
    conversation_id: UUID,
    body: Sent,
    caller: Chatter,
    instance: ThisInstance,
    request: Request,
    dialect: Dialect = None,
) -> Response:
    """Send a message and receive the answer as it is written."""
    history = as_history(body.history)
    turn = _turn(conversation_id, body, caller, instance, request, content=body.content, history=history)
    return await asking.streamed(turn, _encoder(request, dialect), instance)


@router.post("/{conversation_id}/messages/{message_id}/edit")
async def edit(
    conversation_id: UUID,
    message_id: UUID,
    body: Said,
    caller: Chatter,
    instance: ThisInstance,
    request: Request,
    dialect: Dialect = None,
) -> Response:
    """Word a question anew and receive its answer. The old one and what followed stay, on a branch of their own."""
    branch = Branch("edit", message_id)
    turn = _turn(conversation_id, body, caller, instance, request, content=body.content, branch=branch)
    return await asking.streamed(turn, _encoder(request, dialect), instance)


@router.post("/{conversation_id}/messages/{message_id}/regenerate")
async def regenerate(
    conversation_id: UUID,
    message_id: UUID,
    caller: Chatter,
    instance: ThisInstance,
    request: Request,
    body: Again | None = None,
    dialect: Dialect = None,
) -> Response:
    """Have a question answered again. The old answer stays, on a branch of its own."""
    branch = Branch("regenerate", message_id)
    turn = _turn(conversation_id, body or Again(), caller, instance, request, branch=branch)
    return await asking.streamed(turn, _encoder(request, dialect), instance)


@router.get("/{conversation_id}/messages/{message_id}/stream")
async def take_up(
    conversation_id: UUID,
    message_id: UUID,
    caller: Chatter,
    instance: ThisInstance,
    request: Request,
    last_event_id: Annotated[str | None, Header()] = None,
    after: str | None = None,
    dialect: Dialect = None,
) -> Response:
    """Receive what comes after an event of an answer's stream, and go on with it to its end; 204 if nothing does."""
    asking.refuse_strange_guests(caller, instance)
    position = _position(last_event_id if after is None else after)
    # A program has to be able to go on with its own stream; what lies there already is for those that may read.
    may_read = "read" in caller.scopes
    followed = Followed(caller.tenant(), caller.user_id, conversation_id, message_id, position, may_read)
    encoder = _encoder(request, dialect, position)

    async def begun() -> tuple[TurnEvent | None, AsyncGenerator[TurnEvent]]:
        events = follow(instance.database, followed, encoder.recall)
        return await anext(events, None), events

    first, events = await brought_in(begun, conversation_id, spool=instance.spool, database=instance.database)
    return Response(status_code=204) if first is None else EventStream(first, events, encoder)


@router.post("/{conversation_id}/messages/{message_id}/stop")
async def stop_answer(conversation_id: UUID, message_id: UUID, caller: Chatter, instance: ThisInstance) -> Stopped:
    """Stop an answer that is being written, wherever that is, and keep what there is of it."""
    asking.refuse_strange_guests(caller, instance)
    followed = Followed(caller.tenant(), caller.user_id, conversation_id, message_id)
    return Stopped(id=message_id, status=await stop(instance.database, followed))


def _turn(
    conversation_id: UUID,
    body: BaseModel,
    caller: Caller,
    instance: Instance,
    request: Request,
    *,
    content: str = "",
    branch: Branch | None = None,
    history: tuple[SaidMessage, ...] | None = None,
) -> TurnRequest:
    asking.refuse_strange_guests(caller, instance)
    return TurnRequest(
        tenant=caller.tenant(),
        user_id=caller.user_id,
        content=content,
        conversation_id=conversation_id,
        limit=asking.limit_of(caller, instance, request),
        branch=branch,
        key=asking.key_of(caller, request, body),
        history=history,
        with_agent=request.url.path.startswith(TEAM_PATHS),
    )


def _position(spelled: str | None) -> Position:
    if not spelled:
        return START
    position = Position.parse(spelled)
    if position is None:
        raise InvalidRequest("Last-Event-ID is no id of an event of ours.")
    return position


def _encoder(request: Request, dialect: Literal["team", "native"] | None, position: Position = START) -> Encoder:
    """Return the encoder that is asked for, else that of the document whose path this is."""
    if dialect is None:
        dialect = "team" if request.url.path.startswith(TEAM_PATHS) else "native"
    return TeamEncoder(position) if dialect == "team" else NativeEncoder(position)
