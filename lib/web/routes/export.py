"""One's conversations to take away."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from lib.chat import export
from lib.store import conversations
from lib.web.deps import Reader, ThisInstance
from lib.web.download import download
from lib.web.routes.conversations import owned_by

router = APIRouter(tags=["conversations"])


@router.get("/{conversation_id}/export")
async def save(
    conversation_id: UUID,
    caller: Reader,
    instance: ThisInstance,
    kind: Annotated[Literal["json", "markdown"], Query(alias="format")] = "json",
) -> Response:
    """Save a conversation as a file: JSON with every branch, or Markdown of what is shown."""
    async with instance.database.one_report(caller.tenant()) as connection:
        found = await conversations.whole(connection, owned_by(caller), conversation_id, budget=export.LARGEST)
    if kind == "json":
        return download(export.as_json(found), "application/json", name=found.title, ending="json")
    return download(export.as_markdown(found), "text/markdown; charset=utf-8", name=found.title, ending="md")
