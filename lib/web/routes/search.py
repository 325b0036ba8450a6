"""Search in one's own conversations."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from lib.store import search as store
from lib.web.deps import Reader, ThisInstance
from lib.web.json import as_json
from lib.web.text import PLAIN

router = APIRouter(tags=["conversations"])


class Asked(BaseModel):
    """What is looked for."""

    model_config = ConfigDict(extra="forbid")

    q: Annotated[str, Field(max_length=500), PLAIN] = ""
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=10_000)] = 0


@router.get("/search")
async def search(asked: Annotated[Asked, Query()], caller: Reader, instance: ThisInstance) -> Response:
    """Find what was said in one's conversations, in every branch, and their titles; the best first."""
    async with instance.database.one_report(caller.tenant()) as connection:
        found = await store.search(
            connection,
            team_id=caller.team_id,
            user_id=caller.user,
            query=asked.q,
            limit=asked.limit,
            offset=asked.offset,
        )
    return as_json(found)
