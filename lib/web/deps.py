"""Nouns that handlers ask for."""

import hmac
from typing import Annotated, Final

from fastapi import Depends, Request

from lib.auth.callers import Caller, Credentials, identify
from lib.db.events import Client
from lib.errors import NotFound, Unauthenticated
from lib.settings import Settings
from lib.telemetry.logs import note
from lib.web.address import client_address
from lib.web.instance import Instance
from lib.web.origin import refuse_strange_origin

ACCESS_COOKIE: Final = "access_token"
REFRESH_COOKIE: Final = "refresh_token"


def cookie_name(name: str, settings: Settings) -> str:
    """Return what a cookie of ours is called: `__Host-` wherever it is sent over TLS only."""
    return f"__Host-{name}" if settings.environment == "production" else name


async def _instance(request: Request) -> Instance:
    return request.app.state.instance


ThisInstance = Annotated[Instance, Depends(_instance)]


async def _client(request: Request) -> Client:
    return Client(client_address(request.scope), request.headers.get("user-agent"))


ThisClient = Annotated[Client, Depends(_client)]
"""The address that the request came from, and what sent it."""


def token_of(request: Request, settings: Settings) -> str | None:
    """Return the token or key: the header's, else the cookie's. Another scheme's credential is a token that fails.

    Raises:
        OriginRefused: a page of another origin has the browser add its cookie to a request that changes something.
    """
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    token = request.cookies.get(cookie_name(ACCESS_COOKIE, settings))
    if token is None and cookie_name(REFRESH_COOKIE, settings) in request.cookies:
        # A browser forgets the access token when it expires. Whoever can refresh it is no guest, and is to hear so.
        return ""
    if token is not None:
        refuse_strange_origin(request.method, request.headers, settings.allowed_origins)
    return token


async def _caller(request: Request, instance: ThisInstance) -> Caller:
    expected = instance.settings.internal_api_key
    caller = await identify(
        Credentials(token_of(request, instance.settings), request.headers.get("x-internal-api-key")),
        signer=lambda: instance.signer,
        read_key=instance.read_key,
        internal_key=expected.get_secret_value() if expected else None,
    )
    note(user_id=caller.user_id, team_id=caller.team_id)
    return caller


AnyCaller = Annotated[Caller, Depends(_caller)]
"""Whoever asks, a guest too."""


async def _known(caller: AnyCaller) -> Caller:
    _ = caller.user
    return caller


Known = Annotated[Caller, Depends(_known)]
"""A user, or a program of theirs, whatever it may do."""


async def _signed_in(caller: AnyCaller) -> Caller:
    _ = caller.session
    return caller


SignedIn = Annotated[Caller, Depends(_signed_in)]
"""A person with a session. A program's key changes no password and makes no keys."""


async def _still_signed_in(caller: SignedIn, instance: ThisInstance) -> Caller:
    from lib.auth.standing import confirm_signed_in

    await confirm_signed_in(instance.database, caller)
    return caller


StillSignedIn = Annotated[Caller, Depends(_still_signed_in)]
"""A person whose session holds at this moment, for a route that counts attempts for the account.

A token whose session has ended counts for nobody: it would lock the owner out of what is counted with it.
"""


async def _chatter(caller: AnyCaller) -> Caller:
    caller.needs("chat")
    return caller


Chatter = Annotated[Caller, Depends(_chatter)]
"""Whoever may ask a model something: a guest too, where the route lets guests."""


async def _reader(caller: Known) -> Caller:
    caller.needs("read")
    return caller


Reader = Annotated[Caller, Depends(_reader)]
"""A user, or their program with the scope `read`."""


async def _writer(caller: Known) -> Caller:
    caller.needs("chat")
    return caller


Writer = Annotated[Caller, Depends(_writer)]
"""A user, or their program with the scope `chat`: whoever may change conversations of their own."""


async def _editor(caller: Writer) -> Caller:
    caller.needs("read")
    return caller


Editor = Annotated[Caller, Depends(_editor)]
"""A user, or their program with the scopes `chat` and `read`, for a change that is answered with what was said."""


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
    if not caller.internal:
        _ = caller.user
        caller.needs("admin")
    return caller


Admin = Annotated[Caller, Depends(_admin)]
"""Whoever may be an administrator of a team; or, with the internal key, of the whole deployment.

Whether they are one is Postgres's to say, with the statement that does their work: `caller.reach()`, or
`caller.tenant(admin=True)` where the work is one team's.
"""


async def _team_admin(caller: Known) -> Caller:
    caller.needs("admin")
    return caller


TeamAdmin = Annotated[Caller, Depends(_team_admin)]
"""An administrator of a team, who works as themselves: `caller.tenant(admin=True)`."""


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
