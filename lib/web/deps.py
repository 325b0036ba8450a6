"""Nouns that handlers ask for."""

import hmac
from typing import Annotated

from fastapi import Depends, Request

from lib.auth.callers import Caller, identify
from lib.errors import Forbidden, NotFound, Unauthenticated
from lib.settings import Settings
from lib.telemetry.logs import note
from lib.web.instance import Instance

ACCESS_COOKIE = "access_token"


def access_cookie(settings: Settings) -> str:
    """Return the name of the cookie that holds the access token: `__Host-` wherever it is sent over TLS only."""
    return f"__Host-{ACCESS_COOKIE}" if settings.environment == "production" else ACCESS_COOKIE


async def _instance(request: Request) -> Instance:
    return request.app.state.instance


ThisInstance = Annotated[Instance, Depends(_instance)]


def _token(request: Request, cookie: str) -> str | None:
    """Return the access token: the header's, else the cookie's. Another scheme's credential is a token that fails."""
    header = request.headers.get("authorization")
    if header is None:
        return request.cookies.get(cookie)
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _caller(request: Request, instance: ThisInstance) -> Caller:
    expected = instance.settings.internal_api_key
    caller = identify(
        instance.signer,
        token=_token(request, access_cookie(instance.settings)),
        internal_key=request.headers.get("x-internal-api-key"),
        expected_key=expected.get_secret_value() if expected else None,
    )
    note(user_id=caller.user_id, team_id=caller.team_id)
    return caller


AnyCaller = Annotated[Caller, Depends(_caller)]
"""Whoever asks, a guest too."""


async def _with_internal_key(instance: ThisInstance) -> None:
    if instance.settings.internal_api_key is None:
        raise NotFound


async def _internal(_: Annotated[None, Depends(_with_internal_key)], caller: AnyCaller) -> Caller:
    if not caller.internal:
        raise Unauthenticated("This call needs the internal key in X-Internal-API-Key.")
    return caller


InternalCaller = Annotated[Caller, Depends(_internal)]
"""One of the team's own servers, with the internal key. Without one configured the route does not exist."""


async def _admin(caller: AnyCaller) -> Caller:
    if caller.internal or (caller.user_id is not None and caller.role == "admin"):
        return caller
    raise Unauthenticated if caller.user_id is None else Forbidden


Admin = Annotated[Caller, Depends(_admin)]
"""An administrator of a team; or, with the internal key, of the whole deployment. It is asked of no database."""


async def _with_cron_secret(instance: ThisInstance) -> str:
    secret = instance.settings.cron_secret
    if secret is None:
        raise NotFound
    return secret.get_secret_value()


async def _schedule(request: Request, secret: Annotated[str, Depends(_with_cron_secret)]) -> None:
    if not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {secret}".encode()):
        raise Unauthenticated("This call needs the cron secret in Authorization: Bearer.")


ASchedule = Depends(_schedule)
"""Whoever knows `CRON_SECRET`. Without one configured the route does not exist."""
