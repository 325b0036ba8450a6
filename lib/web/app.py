"""`function(*routers)`: one serverless function's app, with everything that all of them share.

It is the one place that knows which HTTP status an error has.
"""

import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from lib import errors
from lib.errors import ParleyError
from lib.telemetry import logs
from lib.web.below import take_on
from lib.web.forms import Utf8Forms
from lib.web.instance import Instance, this_instance
from lib.web.leaving import stopping_on_sigterm
from lib.web.limits import headers_of
from lib.web.middleware import BodyLimit, LastResort, RequestLog

COLLECTOR: Final = (700, 10, 10)
"""Python's own thresholds of its collector, which `lib.web` raises while a function is being imported."""

STATUS: Final[dict[type[ParleyError], int]] = {
    errors.InvalidRequest: HTTPStatus.BAD_REQUEST,
    errors.PasswordTooCommon: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.InvalidCredentials: HTTPStatus.UNAUTHORIZED,
    errors.InvalidCode: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.EmailTaken: HTTPStatus.CONFLICT,
    errors.LastAdmin: HTTPStatus.CONFLICT,
    errors.TooManyKeys: HTTPStatus.CONFLICT,
    errors.SetupDone: HTTPStatus.CONFLICT,
    errors.SecondFactorEnabled: HTTPStatus.CONFLICT,
    errors.SecondFactorMissing: HTTPStatus.CONFLICT,
    errors.ConversationBusy: HTTPStatus.CONFLICT,
    errors.AgentUnavailable: HTTPStatus.CONFLICT,
    errors.KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TeamRequired: HTTPStatus.CONFLICT,
    errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.ExportTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedImage: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.MailUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ReportTooLong: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.RetrievalUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Interrupted: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NoProvider: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Unsealable: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ProviderError: HTTPStatus.BAD_GATEWAY,
    errors.ProviderTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    errors.ProviderRateLimited: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ProviderUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ContextTooLong: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.AddressRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    ParleyError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of an error is that of the nearest of its ancestors named here."""


def function(*routers: APIRouter, instance: Instance | None = None) -> FastAPI:
    """Return the app of one function, by default on what this process keeps.

    Raises:
        SettingsInvalid: the environment cannot work; the function refuses to start.
    """
    instance = instance or this_instance()
    settings = instance.settings
    logs.install(settings.log_level)
    app = _new_app(
        instance,
        title="Parley",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would be built from the Host header, which anybody writes
        lifespan=_close_on_shutdown,
    )
    app.state.instance = instance
    for router in routers:
        take_on(app, router)
    app.add_exception_handler(ParleyError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_middleware(BodyLimit)
    app.add_middleware(Utf8Forms, answer=lambda: _answer_to(errors.InvalidRequest("A form is UTF-8.")))
    app.add_middleware(LastResort, answer=lambda: _answer_to(ParleyError()))
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-Request-ID", "Idempotency-Key", "Last-Event-ID"],
        expose_headers=[
            *("X-Request-ID", "X-Conversation-ID", "X-Message-ID", "Content-Disposition"),
            *("Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
        ],
        allow_credentials=True,
    )
    app.add_middleware(RequestLog)
    _end_of_imports()
    return app


@cache
def _end_of_imports() -> None:
    """Have Python's collector leave alone what a function is made of, and look after what requests make."""
    gc.freeze()
    gc.set_threshold(*COLLECTOR)


def _new_app(instance: Instance, **options: Any) -> FastAPI:
    """Return an app that traces its requests where there is somewhere to send traces to, else a plain one."""
    if instance.collector is None:
        return FastAPI(
            telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False}, **options
        )
    from lib.web.traced import TracedApp

    return TracedApp(instance.collector, **options)


@asynccontextmanager
async def _close_on_shutdown(app: FastAPI) -> AsyncGenerator[None]:
    with stopping_on_sigterm():
        yield
    await app.state.instance.close()


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ParleyError)  # noqa: S101 - registered for this class alone
    return _answer_to(error)


async def _refuse_invalid(request: Request, error: Exception) -> Response:
    """Say what is wrong and where, and never repeat what was sent: it may be a password."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    faults = [
        {"type": fault["type"], "loc": [_printable(part) for part in fault["loc"]], "msg": fault["msg"]}
        for fault in error.errors()
    ]
    if "json" not in request.headers.get("content-type", ""):
        for fault in faults:
            if fault["type"] == "model_attributes_type":  # the body, unread, where its fields were to be
                fault["msg"] = "A body is read as JSON with the header Content-Type: application/json."
    common = any(fault["type"] == errors.PasswordTooCommon.code for fault in faults)
    kind = errors.PasswordTooCommon if common else errors.InvalidRequest
    return _error(HTTPStatus.UNPROCESSABLE_ENTITY, faults, kind.code)


def _printable(part: str | int) -> str | int:
    """Return a step of a path into a body; an unknown field's name may hold what UTF-8 cannot."""
    return part.encode(errors="replace").decode() if isinstance(part, str) else part


async def _refuse_http(_request: Request, error: Exception) -> Response:
    """Give the framework's own refusals our shape."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    ours = {404: errors.NotFound, 405: errors.MethodNotAllowed, 413: errors.BodyTooLarge}
    kind = ours.get(error.status_code, errors.InvalidRequest)
    return _error(error.status_code, kind.detail, kind.code, error.headers)


def _answer_to(error: ParleyError) -> Response:
    status = next(STATUS[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUS)
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    if isinstance(error, errors.RateLimited):
        headers |= headers_of(error)
    return _error(status, str(error), error.code, headers)


def _error(status: int, detail: Any, code: str, headers: Any = None) -> Response:
    logs.note(error=code)
    return JSONResponse({"detail": detail, "code": code, "request_id": logs.request_id.get()}, status, headers)
