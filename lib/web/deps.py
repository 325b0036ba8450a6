"""Nouns that handlers ask for."""

from typing import Annotated

from fastapi import Depends, Request

from lib.auth.callers import Caller, identify
from lib.errors import NotFound, Unauthenticated
from lib.settings import Settings
from lib.web.instance import Instance

ACCESS_COOKIE = "access_token"


def access_cookie(settings: Settings) -> str:
    """Return the name of the cookie that holds the access token: `__Host-` wherever it is sent over TLS only."""
    return f"__Host-{ACCESS_COOKIE}" if settings.environment == "production" else ACCESS_COOKIE


async def _instance(request: Request) -> Instance:
    return request.app.state.instance


ThisInstance = Annotated[Instance, Depends(_instance)]


async def _caller(request: Request, instance: ThisInstance) -> Caller:
    kind, _, bearer = request.headers.get("authorization", "").partition(" ")
    expected = instance.settings.internal_api_key
    return identify(
        instance.signer,
        token=bearer.strip() if kind.lower() == "bearer" else request.cookies.get(access_cookie(instance.settings)),
        internal_key=request.headers.get("x-internal-api-key"),
        expected_key=expected.get_secret_value() if expected else None,
    )


AnyCaller = Annotated[Caller, Depends(_caller)]
"""Whoever asks, a guest too."""


async def _internal(instance: ThisInstance, caller: AnyCaller) -> Caller:
    if instance.settings.internal_api_key is None:
        raise NotFound
    if not caller.internal:
        raise Unauthenticated("This call needs the internal key in X-Internal-API-Key.")
    return caller


InternalCaller = Annotated[Caller, Depends(_internal)]
"""One of the team's own servers, with the internal key. Without one configured the route does not exist."""
