"""A password: forgotten and set anew by mail, or changed by whoever is signed in."""

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from lib.errors import MailUnavailable
from lib.web.afterwards import answer_first
from lib.web.deps import StillSignedIn, ThisClient, ThisInstance
from lib.web.fields import Done, Email, NamedTeam, NewPassword, TypedPassword
from lib.web.limits import ThisGate, limited
from lib.web.text import SECRET

router = APIRouter(prefix="/password", tags=["auth"])


class Forgotten(BaseModel):
    """Whose password it is; `team` (slug or id) picks one of several accounts."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    team: NamedTeam = None


class NewOne(BaseModel):
    """The token of a mail, and the password to set."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=200), SECRET]
    password: NewPassword


class Change(BaseModel):
    """The password as it is, and as it is to be."""

    model_config = ConfigDict(extra="forbid")

    current_password: TypedPassword
    new_password: NewPassword


@router.post("/forgot", status_code=202, response_model=Done)
async def forgot(body: Forgotten, gate: ThisGate, instance: ThisInstance, client: ThisClient) -> JSONResponse:
    """Mail a link to the address, if it has an account. The answer is the same if it has none."""
    from lib.auth import resets

    mailer = instance.mailer
    if mailer is None:
        raise MailUnavailable
    await gate.admit("reset", account=body.email)
    url = instance.settings.public_url or ""
    work = resets.ask(instance.database, mailer, email=body.email, team=body.team, public_url=url, client=client)
    said = {"message": "If this address has an account, a mail with a link is on its way."}
    return await answer_first(JSONResponse(said, 202), work)


@router.post("/reset", dependencies=[limited("reset")])
async def reset(body: NewOne, instance: ThisInstance, client: ThisClient) -> Done:
    """Set a password with the token of a mail. Every session ends, and nobody is signed in."""
    from lib.auth import resets

    await resets.reset(instance.database, token=body.token, password=body.password, client=client)
    return Done(message="The password is set. Sign in with it.")


@router.post("/change")
async def change(
    body: Change, caller: StillSignedIn, gate: ThisGate, instance: ThisInstance, client: ThisClient
) -> Done:
    """Set another password. Every other session ends."""
    from lib.auth import resets

    await gate.admit("reset", account=caller.user)
    await resets.change(instance.database, caller, current=body.current_password, new=body.new_password, client=client)
    return Done(message="The password is changed.")
