"""Accounts: register, set up the first administrator, and see who one is."""

import hmac
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict

from lib.auth import accounts
from lib.auth.accounts import Registration
from lib.auth.identity import Role
from lib.db.events import Client
from lib.errors import NotFound, Unauthenticated
from lib.settings import Settings
from lib.store import profiles
from lib.store.profiles import Profile
from lib.web.deps import Reader, ThisClient, ThisInstance
from lib.web.fields import Email, FullName, NewPassword
from lib.web.instance import Instance
from lib.web.limits import limited

router = APIRouter(tags=["auth"])


class FirstAdmin(BaseModel):
    """The first administrator, of the default team."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: NewPassword
    full_name: FullName | None = None

    def registration(self) -> Registration:
        """Return what is wanted."""
        wanted: dict[str, Any] = self.model_dump(exclude_none=True)
        return Registration(**wanted)


class NewAccount(FirstAdmin):
    """Who wants an account; without `team_id` it is in the default team."""

    team_id: UUID | None = None


class Registered(BaseModel):
    """The account that was made."""

    id: UUID
    team_id: UUID
    email: str
    full_name: str | None
    role: Role
    is_active: bool
    created_at: datetime


@router.post("/register", status_code=201, dependencies=[limited("register")])
async def register(new: NewAccount, instance: ThisInstance, client: ThisClient) -> Registered:
    """Make an account."""
    return await _make(new, instance, client)


@router.post("/setup", status_code=201, dependencies=[limited("register")])
async def setup(
    first: FirstAdmin,
    instance: ThisInstance,
    client: ThisClient,
    x_setup_token: Annotated[str | None, Header(max_length=1024)] = None,
) -> Registered:
    """Make the first administrator of the default team, once. Outside development it takes `SETUP_TOKEN`."""
    _allow_setup(instance.settings, x_setup_token)
    return await _make(first, instance, client, setup=True)


@router.get("/me")
async def me(caller: Reader, instance: ThisInstance) -> Profile:
    """Tell a user who they are."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        return await profiles.find(connection, team_id=caller.team_id, user_id=caller.user)


async def _make(wanted: FirstAdmin, instance: Instance, client: Client, *, setup: bool = False) -> Registered:
    made, created_at = await accounts.register(instance.database, wanted.registration(), client=client, setup=setup)
    return Registered(
        id=made.id,
        team_id=made.team_id,
        email=made.email,
        full_name=made.full_name,
        role=made.role,
        is_active=True,
        created_at=created_at,
    )


def _allow_setup(settings: Settings, shown: str | None) -> None:
    """Let whoever holds `SETUP_TOKEN` pass, and in development anybody where there is none.

    Raises:
        NotFound: outside development there is none: the route does not exist.
        Unauthenticated: it was not shown.
    """
    if settings.setup_token is None:
        if settings.environment != "development":
            raise NotFound
        return
    if not hmac.compare_digest((shown or "").encode(), settings.setup_token.get_secret_value().encode()):
        raise Unauthenticated("This call needs the setup token in X-Setup-Token.")
