"""Conversations: one's own to begin, list, see, change and delete. What is said in them is in `messages.py`."""

from typing import Annotated, Any, Final, TypedDict
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, with_config

from lib.auth.callers import Caller
from lib.chat.retention import retain
from lib.store import conversations
from lib.store.conversations import Owner, Wanted
from lib.web.deps import Editor, Reader, ThisInstance, Writer
from lib.web.json import as_json
from lib.web.objects import storable
from lib.web.text import SAID

router = APIRouter(tags=["conversations"])

SHOWN: Final = 200
"""How many of its newest messages a conversation is shown with, where nobody says."""

Title = Annotated[str, Field(max_length=200), SAID]
"""What a conversation is called."""
Metadata = Annotated[dict[str, Any], AfterValidator(lambda given: storable(given, "metadata"))]
"""What a front end wants to keep with a conversation. It takes the place of what was there."""
Flag = Annotated[bool, Field(strict=True)]


class NewConversation(BaseModel):
    """A conversation to begin."""

    model_config = ConfigDict(extra="forbid")

    agent_id: UUID | None = None
    title: Title | None = None
    metadata: Metadata = {}


@with_config(ConfigDict(extra="forbid"))
class Changes(TypedDict, total=False):
    """What is to be different. A field that is left out stays as it is."""

    title: Title
    is_archived: Flag
    is_pinned: Flag
    metadata: Metadata
    agent_id: UUID | None


class Filter(BaseModel):
    """Which conversations to list, and with how much of each."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    after: UUID | None = None
    include_archived: bool = False
    archived: bool | None = None
    pinned: bool | None = None
    messages: Annotated[int, Field(ge=0, le=100)] = 2

    def wanted(self) -> Wanted:
        """Return what the store is asked for. Without a word on them, what was put away is left out."""
        return Wanted(
            limit=self.limit,
            offset=self.offset,
            after=self.after,
            archived=False if self.archived is None and not self.include_archived else self.archived,
            pinned=self.pinned,
            messages=self.messages,
        )


@router.post("", status_code=201)
async def create(caller: Writer, instance: ThisInstance, new: NewConversation = NewConversation()) -> Response:  # noqa: B008
    """Begin a conversation, with an agent or without."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        made = await conversations.create(
            connection, owned_by(caller), title=new.title, agent_id=new.agent_id, metadata=new.metadata
        )
    newest = instance.settings.retention_conversations
    await retain(instance.database, team_id=caller.team_id, user_id=caller.user, newest=newest)
    return as_json(made, 201)


@router.get("")
async def page(asked: Annotated[Filter, Query()], caller: Reader, instance: ThisInstance) -> Response:
    """List one's conversations, those first in which something was said last."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        return as_json(await conversations.page(connection, owned_by(caller), asked.wanted()))


# Beside them are paths such as /search: what is no id is none of these.
@router.get("/{conversation_id:uuid}")
async def read(
    conversation_id: UUID,
    caller: Reader,
    instance: ThisInstance,
    messages: Annotated[int, Query(ge=0, le=1000)] = SHOWN,
) -> Response:
    """Show a conversation with its newest messages, oldest first."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        return as_json(await conversations.find(connection, owned_by(caller), conversation_id, messages=messages))


@router.put("/{conversation_id:uuid}")
@router.patch("/{conversation_id:uuid}")
async def change(
    conversation_id: UUID, changes: Annotated[Changes, Body()], caller: Editor, instance: ThisInstance
) -> Response:
    """Change what the body names."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        changed = await conversations.change(
            connection, owned_by(caller), conversation_id, conversations.Changes(**changes), messages=SHOWN
        )
        return as_json(changed)


@router.delete("/{conversation_id:uuid}", status_code=204)
async def delete(conversation_id: UUID, caller: Writer, instance: ThisInstance) -> None:
    """Delete a conversation with all that was said in it."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        await conversations.delete(connection, owned_by(caller), conversation_id)


def owned_by(caller: Caller) -> Owner:
    """Return whose conversations a user, or a program of theirs, may see."""
    return Owner(team_id=caller.team_id, user_id=caller.user)
