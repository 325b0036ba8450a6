"""The book's chat: a question answered whole, or as a stream. Both run the same turn."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from lib.auth.callers import Caller, speaking_as
from lib.chat.events import Failed, Finished, TurnEvent
from lib.chat.turn import TurnRequest, run_turn
from lib.encoders.book import BookEncoder
from lib.encoders.native import NativeEncoder
from lib.errors import ParleyError, Unauthenticated, error_named
from lib.rag.retrieve import Scope
from lib.web.deps import AnyCaller, ThisInstance
from lib.web.instance import Instance
from lib.web.stream import EventStream
from lib.web.text import LONGEST_MESSAGE, Said

whole = APIRouter(tags=["chat"])
streamed = APIRouter(tags=["chat"])

LONGEST_SELECTION: Final = 16_000
CONTEXTS: Final = (
    'context is "full-book", {"selected_text": "..."}, {"chapter": "..."} or {"document_id": "..."}, and nothing else'
)


class _Selection(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    selected_text: Annotated[Said, Field(max_length=LONGEST_SELECTION)]


class _Chapter(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    chapter: Annotated[Said, Field(max_length=512)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    document_id: Annotated[Said, Field(max_length=512)]


_narrowed: TypeAdapter[_Selection | _Chapter | _Document] = TypeAdapter(_Selection | _Chapter | _Document)


def _context(value: object) -> _Selection | _Chapter | _Document | None:
    """Return what narrows the answer, None for the whole book. One clear sentence beats a list of failed guesses."""
    if value == "full-book":
        return None
    try:
        return _narrowed.validate_python(value)
    except ValidationError:
        raise ValueError(CONTEXTS) from None


class Metadata(BaseModel):
    """What the answer is to be drawn from."""

    model_config = ConfigDict(extra="forbid")

    context: Annotated[
        _Selection | _Chapter | _Document | None,
        PlainValidator(_context),
        WithJsonSchema({"anyOf": [{"const": "full-book"}, _narrowed.json_schema()]}),
    ] = None


class Message(BaseModel):
    """The question, and who says they ask it."""

    model_config = ConfigDict(extra="forbid")

    content: Annotated[Said, Field(max_length=LONGEST_MESSAGE)]
    user_id: Annotated[str, Field(max_length=200)] | None = None
    metadata: Metadata | None = None
    conversation_id: UUID | None = None


class ChatRequest(BaseModel):
    """A question; with `conversation_id`, here or in the message, it continues that conversation."""

    model_config = ConfigDict(extra="forbid")

    message: Message
    conversation_id: UUID | None = None


@whole.post("/api/v1/chat")
async def chat(body: ChatRequest, caller: AnyCaller, instance: ThisInstance) -> Response:
    """Send a message and receive the complete answer."""
    answer = await _in_one_piece(run_turn(await _turn(body, caller, instance), instance.turn))
    return Response(msgspec.json.encode({"response": answer}), media_type="application/json")


@streamed.post("/api/v1/chat/stream")
async def chat_stream(
    body: ChatRequest, caller: AnyCaller, instance: ThisInstance, protocol: Literal["book", "native"] = "book"
) -> Response:
    """Send a message and receive the answer as it is written: server-sent events, the document's frames or our own."""
    encoder = BookEncoder() if protocol == "book" else NativeEncoder()
    return await EventStream.of(run_turn(await _turn(body, caller, instance), instance.turn), encoder)


async def _turn(body: ChatRequest, caller: Caller, instance: Instance) -> TurnRequest:
    """Return the turn this body asks for, run for whoever may ask for it."""
    speaker = await speaking_as(caller, body.message.user_id, instance.database)
    if speaker.user_id is None and not instance.settings.guest_chat and not speaker.internal:
        raise Unauthenticated
    context = body.message.metadata and body.message.metadata.context
    return TurnRequest(
        team_id=speaker.team_id,
        user_id=speaker.user_id,
        content=body.message.content,
        conversation_id=body.conversation_id or body.message.conversation_id,
        selected_text=context.selected_text if isinstance(context, _Selection) else None,
        scope=Scope(
            document_id=context.document_id if isinstance(context, _Document) else None,
            chapter=context.chapter if isinstance(context, _Chapter) else None,
        ),
    )


async def _in_one_piece(events: AsyncGenerator[TurnEvent]) -> dict[str, Any]:
    """Run the turn to its end and return the whole answer.

    Raises:
        ParleyError: the one the turn failed with.
    """
    encoder = BookEncoder()
    last: TurnEvent | None = None
    async for event in events:
        encoder.encode(event)
        last = event
    match last:
        case Finished():
            return encoder.success(last)
        case Failed(code, detail):
            raise error_named(code)(detail)
        case _:
            raise ParleyError
