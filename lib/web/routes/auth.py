"""Log-ins: sign in by one step or two, refresh, and sign out."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from lib.auth import accounts
from lib.db.events import Client
from lib.errors import EmailOnlyLoginDisabled, RefreshInvalid, Unauthenticated
from lib.store.sessions import Method
from lib.store.users import User
from lib.web.delivery import Delivery, Given, ThisDelivery
from lib.web.deps import ThisClient, ThisInstance, token_of
from lib.web.fields import Done
from lib.web.instance import Instance
from lib.web.limits import ThisGate, limited
from lib.web.login import BODY, ALogin, Login

router = APIRouter(tags=["auth"])


class Chat(BaseModel):
    """A conversation of a workspace. It has no files yet, and so no versions of any."""

    id: UUID
    name: str
    last_updated: datetime
    num_versions: int = 0


class Workspace(BaseModel):
    """A workspace that the user is in."""

    id: UUID
    name: str
    chats: list[Chat]


class LoggedIn(Given):
    """Who is signed in now. Under `/api/` the tokens are in cookies, elsewhere here."""

    message: str = "Login successful"
    user_id: UUID
    email: str
    workspaces: list[Workspace] | None = None


class SecondStep(BaseModel):
    """The password fits, and the account has a second factor.

    `challenge` and a code sign in, within `expires_in` seconds.
    """

    message: str = "Second factor required"
    requires_2fa: bool = True
    challenge: str
    expires_in: int


class SecondFactor(BaseModel):
    """The challenge of the first step, and a code of the second factor or a recovery code."""

    model_config = ConfigDict(extra="forbid")

    challenge: Annotated[str, Field(max_length=4096)]
    code: Annotated[str, Field(max_length=64)]


class RefreshToken(BaseModel):
    """The refresh token; under `/api/` it may stay in its cookie."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: Annotated[str, Field(max_length=1024)] | None = None


Body: Final = RefreshToken()


@router.post("/login", response_model_exclude_none=True, openapi_extra=BODY)
@router.post("/login-json", response_model_exclude_none=True, openapi_extra=BODY)
async def log_in(
    login: ALogin, gate: ThisGate, instance: ThisInstance, client: ThisClient, delivery: ThisDelivery
) -> LoggedIn | SecondStep:
    """Sign in with a password, as a form or JSON; or with an address alone, where that is allowed."""
    await gate.admit("login", account=login.email)
    user, method = await _recognise(login, instance, client)
    if user.second_factor:
        return await _challenge(user, instance)
    signed_in = await _begin(user, method, instance, client, delivery)
    if login.password is None:
        signed_in.workspaces = await _workspaces(user, instance)
    return signed_in


@router.post("/login/2fa", response_model_exclude_none=True)
async def finish_log_in(
    step: SecondFactor, gate: ThisGate, instance: ThisInstance, client: ThisClient, delivery: ThisDelivery
) -> LoggedIn:
    """Complete a log-in with a code."""
    from lib.auth.second_factor import prove

    challenge = instance.signer.read_challenge(step.challenge)
    await gate.admit("second_factor", account=challenge.user_id)
    method = await prove(
        instance.database,
        instance.seal,
        user_id=challenge.user_id,
        team_id=challenge.team_id,
        code=step.code,
        client=client,
    )
    user = await accounts.challenged(instance.database, challenge)
    return await _begin(user, method, instance, client, delivery)


@router.post("/refresh", response_model_exclude_none=True, dependencies=[limited("refresh")])
async def refresh(
    instance: ThisInstance, client: ThisClient, delivery: ThisDelivery, body: RefreshToken = Body
) -> Given:
    """Exchange a refresh token for the next one and a new access token."""
    token = delivery.refresh_token(body.refresh_token)
    if token is None:
        raise RefreshInvalid("There is no refresh token in the body nor, under /api/, in a cookie.")
    return delivery.give(await instance.sessions.refresh(token, client=client))


@router.post("/logout")
async def log_out(
    request: Request,
    instance: ThisInstance,
    client: ThisClient,
    delivery: ThisDelivery,
    body: RefreshToken = Body,
) -> Done:
    """End the session, whichever of its tokens is shown. Whoever is signed in no longer is signed out as well."""
    refresh_token = delivery.refresh_token(body.refresh_token)
    for session_id in _sessions_shown(instance, token_of(request, instance.settings), refresh_token):
        await instance.sessions.log_out(session_id, client=client)
    delivery.take_back()
    return Done(message="Logged out")


def _sessions_shown(instance: Instance, access: str | None, refresh_token: str | None) -> set[UUID]:
    shown: set[UUID] = set()
    with suppress(Unauthenticated):
        shown.add(instance.signer.read(access or "").session_id)
    with suppress(Unauthenticated):
        shown.add(instance.sessions.refresh_tokens.read(refresh_token or "")[0])
    return shown


async def _recognise(login: Login, instance: Instance, client: Client) -> tuple[User, Method]:
    """Return whose account this is, and how that is known."""
    if login.password is not None:
        user = await accounts.recognise(
            instance.database, email=login.email, password=login.password, team=login.team, client=client
        )
        return user, "password"
    if not instance.settings.email_only_login:
        raise EmailOnlyLoginDisabled
    return await accounts.recognise_by_email(instance.database, email=login.email, client=client), "email"


async def _challenge(user: User, instance: Instance) -> SecondStep:
    from lib.auth.passwords import fingerprint
    from lib.auth.tokens import CHALLENGE_LIFETIME

    challenge = instance.signer.sign_challenge(user.id, user.team_id, fingerprint(user.password_hash))
    return SecondStep(challenge=challenge, expires_in=int(CHALLENGE_LIFETIME.total_seconds()))


async def _begin(user: User, method: Method, instance: Instance, client: Client, delivery: Delivery) -> LoggedIn:
    tokens = await instance.sessions.begin(
        user_id=user.id,
        team_id=user.team_id,
        role=user.role,
        method=method,
        client=client,
        password_hash=user.password_hash,
    )
    return LoggedIn(user_id=user.id, email=user.email, **delivery.give(tokens).model_dump())


async def _workspaces(user: User, instance: Instance) -> list[Workspace]:
    from lib.auth.workspaces import workspaces_of

    found = await workspaces_of(instance.database, team_id=user.team_id, user_id=user.id)
    return [Workspace.model_validate(workspace, from_attributes=True) for workspace in found]
