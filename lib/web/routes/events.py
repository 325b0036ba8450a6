"""Security events: what happened to one's account; to an administrator what happened in the team."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from lib.auth import people
from lib.db.events import EventKind
from lib.store.security_events import MOST, PastEvent
from lib.web.deps import Reader, ThisInstance

router = APIRouter(prefix="/events", tags=["auth"])


@router.get("")
async def page(
    caller: Reader,
    instance: ThisInstance,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    after: UUID | None = None,
    kind: EventKind | None = None,
    user_id: UUID | None = None,
) -> tuple[PastEvent, ...]:
    """List security events, the newest first."""
    return await people.events(instance.database, caller, limit=limit, after=after, kind=kind, user_id=user_id)
