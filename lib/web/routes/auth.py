"""Accounts: register and log in, as the book's document shows."""

import unicodedata
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lib.auth import accounts
from lib.auth.accounts import normalise_email
from lib.web.deps import ThisInstance, access_cookie
from lib.web.text import PLAIN, SECRET

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])

SHORTEST_PASSWORD: Final = 8
LONGEST_PASSWORD: Final = 128

Email = Annotated[str, Field(max_length=254), PLAIN, AfterValidator(normalise_email)]


def _long_enough(password: str) -> str:
    """Count what the hash counts: characters after NFKC."""
    if not SHORTEST_PASSWORD <= len(unicodedata.normalize("NFKC", password)) <= LONGEST_PASSWORD:
        raise ValueError(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    return password


class Registration(BaseModel):
    """A new account."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Annotated[str, SECRET, AfterValidator(_long_enough)]


class Registered(BaseModel):
    """The account that was made."""

    id: UUID
    email: str
    created_at: datetime


class Login(BaseModel):
    """An address and its password; `team` (slug or id) settles which account, where several teams have the address."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Annotated[str, Field(max_length=1024), SECRET]
    team: Annotated[str, Field(max_length=63), PLAIN] | None = None


class LoggedIn(BaseModel):
    """Who is signed in now. The token is in the cookie."""

    user_id: UUID
    email: str


@router.post("/register", status_code=201)
async def register(new: Registration, instance: ThisInstance) -> Registered:
    """Register a user account in the default team."""
    account = await accounts.register(instance.database, email=new.email, password=new.password)
    return Registered(id=account.id, email=account.email, created_at=account.created_at)


@router.post("/login")
async def log_in(login: Login, instance: ThisInstance, response: Response) -> LoggedIn:
    """Sign in: the access token goes into an HttpOnly cookie."""
    account, identity = await accounts.log_in(
        instance.database, email=login.email, password=login.password, team=login.team
    )
    response.set_cookie(
        access_cookie(instance.settings),
        instance.signer.sign(identity),
        max_age=int(instance.signer.lifetime.total_seconds()),
        httponly=True,
        secure=instance.settings.environment == "production",
        samesite="strict",
    )
    return LoggedIn(user_id=account.id, email=account.email)
