"""What wraps every request: its id and its line in the log, a bound on its body, and an answer when all else fails."""

import logging
import re
import time
from collections.abc import Callable
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.errors import ParleyError
from lib.ids import new_id
from lib.telemetry.logs import gather, request_id

MAX_BODY: Final = 1_000_000
"""Bytes a request may carry."""
MAX_PICTURE_BODY: Final = 3_000_000
"""Bytes it may carry to a route that takes a picture: 2 MB are 2.8 in base64."""

UNMATCHED: Final = "unmatched"
"""The route, in the log, of a request that no route takes: its path is the caller's own words."""

_log = logging.getLogger("parley.web")
_requests = logging.getLogger("parley.requests")
_GIVEN_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,128}")
_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class RequestLog:
    """Gives each request an id, the caller's own if it is one, and a line in the log once it has ended.

    The answer says the id in `X-Request-ID`, and, where its route says nothing else, that no cache may keep it or give
    it to somebody else who asks for the same path: it may be one user's own. Headers that the request's work has put
    into `request.state.headers` are on the answer whatever it is, an error too. The line is written at INFO, also for a
    stream that was left or broke off; what the request's work has told `lib.telemetry.logs.note` is in it. At a higher
    level nothing is gathered.
    """

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
        facts = gather() if _requests.isEnabledFor(logging.INFO) else None
        began = time.perf_counter()
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = own
                headers.setdefault("Cache-Control", "no-store")
                for name, value in scope.get("state", {}).get("headers", {}).items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            if facts is not None:
                facts.setdefault("error", ParleyError.code)
            raise
        finally:
            if facts is not None:
                _write_line(scope, status, round((time.perf_counter() - began) * 1000, 1), facts)


_takes_pictures: Final[set[object]] = set()


def takes_a_picture[H: Callable[..., object]](handler: H) -> H:
    """Let the body of a request to this handler be as long as a picture needs: `MAX_PICTURE_BODY`."""
    _takes_pictures.add(handler)
    return handler


class BodyLimit:
    """Refuses a body over its route's limit, declared or not, without reading the rest.

    The limit is looked up when the body is first asked for: by then the route is known.

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
            limit = MAX_PICTURE_BODY if scope.get("endpoint") in _takes_pictures else MAX_BODY
            if received == 0 and _declared_length(scope) > limit:
                raise HTTPException(413)
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
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
            _log.exception("request failed")
            await self._answer()(scope, receive, send)


def _declared_length(scope: Scope) -> int:
    declared = Headers(scope=scope).get("content-length", "")
    return int(declared) if declared.isdecimal() and declared.isascii() else 0


def _template(scope: Scope) -> str:
    """Return the path of the route that took a request, as it is published: `/users/{user_id}`.

    `scope["route"]` is the route as its own router knows it; what it is mounted under is known to FastAPI.
    """
    mounted = scope.get("fastapi", {}).get("effective_route_context")
    return getattr(mounted, "path_format", None) or getattr(scope.get("route"), "path_format", UNMATCHED)


def _write_line(scope: Scope, status: int | None, duration_ms: float, facts: dict[str, Any]) -> None:
    """Log what the request was, how it ended, and what is known of its work."""
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    route = _template(scope)
    line = {"method": method, "route": route, "status": status, "duration_ms": duration_ms, **facts}
    known = {name: value for name, value in line.items() if value is not None}
    _requests.info("%s %s %s", method, route, status, extra={"facts": known})
