"""A team's people: an administrator's to make, change and delete; everybody's own to see and change."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict

from lib.auth import people
from lib.auth.accounts import Registration
from lib.auth.identity import Role
from lib.store import profiles
from lib.store.profiles import Listed, Profile
from lib.web.deps import Known, TeamAdmin, ThisClient, ThisInstance
from lib.web.fields import Email, FullName, NewPassword
from lib.web.middleware import takes_a_picture
from lib.web.profile import AllChanges

router = APIRouter(prefix="/users", tags=["users"])


class NewUser(BaseModel):
    """An account that an administrator makes."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: NewPassword
    full_name: FullName | None = None
    role: Role = "user"


@router.get("")
@router.get("/")
async def page(
    caller: TeamAdmin,
    instance: ThisInstance,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    after: UUID | None = None,
) -> tuple[Listed, ...]:
    """List the team's accounts, the newest first, by `offset` or after the last one of the page before."""
    async with instance.database.one_statement(caller.tenant(admin=True)) as connection:
        return await profiles.page(connection, team_id=caller.team_id, limit=limit, offset=offset, after=after)


@router.post("", status_code=201)
@router.post("/", status_code=201)
async def create(new: NewUser, caller: TeamAdmin, instance: ThisInstance, client: ThisClient) -> Profile:
    """Make an account in one's team."""
    wanted = Registration(email=new.email, password=new.password, full_name=new.full_name, team_id=caller.team_id)
    return await people.add(instance.database, caller, wanted, new.role, client=client)


@router.get("/{user_id}")
async def read(user_id: UUID, caller: Known, instance: ThisInstance) -> Profile:
    """Show an account."""
    return await people.find(instance.database, caller, user_id)


@router.put("/{user_id}")
@router.patch("/{user_id}")
@takes_a_picture
async def change(
    user_id: UUID,
    changes: Annotated[AllChanges, Body()],
    caller: Known,
    instance: ThisInstance,
    client: ThisClient,
) -> Profile:
    """Change the fields of an account that the body names."""
    return await people.change(instance.database, caller, user_id, changes, client=client)


@router.delete("/{user_id}", status_code=204)
async def delete(user_id: UUID, caller: TeamAdmin, instance: ThisInstance, client: ThisClient) -> None:
    """Delete an account and all that is its own."""
    async with instance.database.one_statement(caller.tenant(admin=True)) as connection:
        await profiles.delete(connection, user_id, team_id=caller.team_id, actor_id=caller.user, client=client)
