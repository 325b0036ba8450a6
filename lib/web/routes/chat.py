"""The book's chat: a question answered whole, or as a stream. Both run the same turn."""

from typing import Annotated, Final, Literal, Self, cast
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from lib.auth.callers import Caller
from lib.auth.speaking import speaking_as
from lib.chat.request import TurnRequest
from lib.encoders.book import BookEncoder
from lib.encoders.native import NativeEncoder
from lib.rag.retrieve import Scope
from lib.web import asking
from lib.web.afterwards import after
from lib.web.deps import Chatter, ThisInstance
from lib.web.history import SentHistory, as_history
from lib.web.instance import Instance
from lib.web.json import as_json
from lib.web.text import LONGEST_MESSAGE, SAID

whole = APIRouter(tags=["chat"])
streamed = APIRouter(tags=["chat"])

LONGEST_SELECTION: Final = 16_000
CONTEXTS: Final = (
    'context is "full-book", {"selected_text": "..."}, {"chapter": "..."} or {"document_id": "..."}, and nothing else'
)


class _Selection(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    selected_text: Annotated[str, Field(max_length=LONGEST_SELECTION), SAID]


class _Chapter(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    chapter: Annotated[str, Field(max_length=512), SAID]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    document_id: Annotated[str, Field(max_length=512), SAID]


_KINDS: Final[dict[str, type[_Selection | _Chapter | _Document]]] = {
    "selected_text": _Selection,
    "chapter": _Chapter,
    "document_id": _Document,
}


def _context(value: object) -> _Selection | _Chapter | _Document | None:
    """Return what narrows the answer, None for the whole book. One clear sentence beats a list of failed guesses."""
    if value == "full-book":
        return None
    named = list(cast("dict[object, object]", value)) if isinstance(value, dict) else []
    kind = _KINDS.get(str(named[0])) if len(named) == 1 else None
    if kind is None:
        raise ValueError(CONTEXTS)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ValueError(f"{named[0]}: {error.errors()[0]['msg']}") from None


class Metadata(BaseModel):
    """What the answer is to be drawn from."""

    model_config = ConfigDict(extra="forbid")

    context: Annotated[
        _Selection | _Chapter | _Document | None,
        PlainValidator(_context),
        WithJsonSchema({"anyOf": [{"const": "full-book"}, *(kind.model_json_schema() for kind in _KINDS.values())]}),
    ] = None


class Message(BaseModel):
    """The question, and who says they ask it."""

    model_config = ConfigDict(extra="forbid")

    content: Annotated[str, Field(max_length=LONGEST_MESSAGE), SAID]
    user_id: Annotated[str, Field(max_length=200)] | None = None
    metadata: Metadata | None = None
    conversation_id: UUID | None = None


class ChatRequest(BaseModel):
    """A question; with `conversation_id`, here or in the message, it continues that conversation."""

    model_config = ConfigDict(extra="forbid")

    message: Message
    conversation_id: UUID | None = None
    history: SentHistory = None

    @model_validator(mode="after")
    def _name_one_conversation(self) -> Self:
        if len({self.conversation_id, self.message.conversation_id} - {None}) > 1:
            raise ValueError("conversation_id is given twice, and differs")
        return self


@whole.post("/api/v1/chat")
async def chat(body: ChatRequest, caller: Chatter, instance: ThisInstance, request: Request) -> Response:
    """Send a message and receive the complete answer."""
    turn, encoder = await _turn(body, caller, instance, request), BookEncoder()
    finished = await asking.whole(turn, encoder, instance, request)
    return after(as_json({"response": encoder.success(finished)}), turn.course.afterwards)


@streamed.post("/api/v1/chat/stream")
async def chat_stream(
    body: ChatRequest,
    caller: Chatter,
    instance: ThisInstance,
    request: Request,
    protocol: Literal["book", "native"] = "book",
) -> Response:
    """Send a message and receive the answer as it is written: server-sent events, the document's frames or our own."""
    encoder = BookEncoder() if protocol == "book" else NativeEncoder()
    return await asking.streamed(await _turn(body, caller, instance, request), encoder, instance)


async def _turn(body: ChatRequest, caller: Caller, instance: Instance, request: Request) -> TurnRequest:
    """Return the turn this body asks for, run for whoever may ask for it."""
    speaker = await speaking_as(caller, body.message.user_id, instance.database)
    asking.refuse_strange_guests(speaker, instance)
    context = body.message.metadata and body.message.metadata.context
    return TurnRequest(
        tenant=speaker.tenant(),
        user_id=speaker.user_id,
        content=body.message.content,
        conversation_id=body.conversation_id or body.message.conversation_id,
        selected_text=context.selected_text if isinstance(context, _Selection) else None,
        scope=Scope(
            document_id=context.document_id if isinstance(context, _Document) else None,
            chapter=context.chapter if isinstance(context, _Chapter) else None,
        ),
        limit=asking.limit_of(speaker, instance, request),
        key=asking.key_of(speaker, request, body),
        history=as_history(body.history),
    )
