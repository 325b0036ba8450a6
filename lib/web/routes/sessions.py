"""Where one is signed in: the list, and signing out from afar."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from lib.errors import NotFound
from lib.store import sessions
from lib.web.delivery import ThisDelivery
from lib.web.deps import SignedIn, ThisClient, ThisInstance

router = APIRouter(prefix="/sessions", tags=["auth"])


class Session(BaseModel):
    """A place where the user is signed in. `current` is the one that asks; `last_used_at` its newest refresh."""

    id: UUID
    device: str | None
    address: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


class Ended(BaseModel):
    """How many sessions were ended."""

    ended: int


@router.get("")
async def page(caller: SignedIn, instance: ThisInstance) -> list[Session]:
    """List the user's sessions, the one used last first."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        found = await sessions.live(connection, user_id=caller.user)
    return [
        Session(
            id=each.id,
            device=each.device,
            address=each.address,
            created_at=each.created_at,
            last_used_at=each.last_used_at,
            expires_at=each.expires_at,
            current=each.id == caller.session,
        )
        for each in found
    ]


@router.delete("")
async def end_all(
    caller: SignedIn,
    instance: ThisInstance,
    client: ThisClient,
    delivery: ThisDelivery,
    keep_current: bool = False,
) -> Ended:
    """Sign out everywhere, here too unless `keep_current` says otherwise."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        ended = await sessions.end_all(
            connection,
            user_id=caller.user,
            team_id=caller.team_id,
            client=client,
            but=caller.session if keep_current else None,
        )
    if not keep_current:
        delivery.take_back()
    return Ended(ended=ended)


@router.delete("/{session_id}")
async def end(session_id: UUID, caller: SignedIn, instance: ThisInstance, client: ThisClient) -> Ended:
    """Sign out in one place."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        if not await sessions.end(connection, session_id, user_id=caller.user, team_id=caller.team_id, client=client):
            raise NotFound("There is no such session.")
    return Ended(ended=1)
