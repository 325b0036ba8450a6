"""What wraps every request: its id, a bound on its body, and an answer when all else fails."""

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.ids import new_id

MAX_BODY: Final = 1_000_000
"""Bytes a request may carry."""

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_log = logging.getLogger("parley.web")
_GIVEN_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,128}")


class RequestIds:
    """Gives each request an id, the caller's own if it is one, and says it in the answer's `X-Request-ID`."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        own = given if _GIVEN_ID.fullmatch(given) else str(new_id())
        request_id.set(own)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = own
            await send(message)

        await self._app(scope, receive, send_with_id)


class BodyLimit:
    """Refuses a body over `MAX_BODY`, declared or not, without reading the rest.

    Starlette has such a middleware; its answer is plain text, ours has the shape of every other error.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            if received == 0 and _declared_length(scope) > MAX_BODY:
                raise HTTPException(413)
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise HTTPException(413)
            return message

        await self._app(scope, receive_within_limit if scope["type"] == "http" else receive, send)


class LastResort:
    """Answers for a fault of ours that nothing caught, and logs it.

    Starlette's own would answer from outside every other middleware: without the CORS headers a browser needs to read
    the answer, and without its request id.
    """

    def __init__(self, app: ASGIApp, answer: Callable[[], ASGIApp]) -> None:
        """Wrap `app`; `answer` makes the response."""
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            if started or scope["type"] != "http":
                raise
            _log.exception("request %s failed", request_id.get())
            await self._answer()(scope, receive, send)


def _declared_length(scope: Scope) -> int:
    declared = Headers(scope=scope).get("content-length", "")
    return int(declared) if declared.isdecimal() and declared.isascii() else 0
