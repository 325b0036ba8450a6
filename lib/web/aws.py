"""A function's app as AWS Lambda calls it: event by event."""

import asyncio
import json
import logging
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from fastapi import FastAPI

from lib.errors import InvalidRequest
from lib.ids import new_id
from lib.settings import Settings

if TYPE_CHECKING:
    from mangum import Mangum

Result = dict[str, Any]

_log = logging.getLogger("parley.web")
_JOB: Final = re.compile(r"[a-z]+(-[a-z]+)*")


class JobFailed(Exception):
    """A job did not succeed. Raised to Lambda itself, which counts it as an error and asks again."""


def on_lambda(app: FastAPI) -> Callable[[Any, Any], Result]:
    """Return the app as a Lambda handler.

    It answers requests (API Gateway's payloads 1.0 and 2.0, function URLs) and `{"job": "<name>"}`, which is what our
    schedules send and is the same call of `/api/v1/jobs/<name>` as another platform's schedule makes over HTTP. Who may
    send Lambda an event is IAM's to say, so a job needs no secret from outside.

    Mangum is made with the first event, so that no other platform pays for it, and on one event loop for the life of
    the instance, since what an instance keeps belongs to its loop. Lifespan is off: it would start and stop the app,
    and close all of that, with every event.
    """

    @cache
    def adapter() -> "Mangum":
        from mangum import Mangum

        asyncio.set_event_loop(asyncio.new_event_loop())
        return Mangum(app, lifespan="off")

    def handle(event: Any, context: Any) -> Result:
        match event:
            case {"job": str(job)} if _JOB.fullmatch(job):
                return _done(job, adapter()(_call_of(job, app.state.instance.settings), context))
            case {"requestContext": dict()}:
                request = _with_one_cookie_header(cast("dict[str, Any]", event))
                return adapter()(request, context) if _readable(adapter(), request, context) else _refused()
            case _:
                _log.error("refused an event that is neither a request nor a job")
                return _refused()

    return handle


def _call_of(job: str, settings: Settings) -> dict[str, Any]:
    """Return the request that a schedule over HTTP makes for this job, with this instance's own secret."""
    secret = settings.cron_secret
    return {
        "version": "2.0",
        "headers": {"authorization": f"Bearer {secret.get_secret_value()}"} if secret else {},
        "requestContext": {"http": {"method": "GET", "path": f"/api/v1/jobs/{job}", "sourceIp": None}},
    }


def _done(job: str, result: Result) -> Result:
    if result["statusCode"] != 200:
        raise JobFailed(f"{job} was answered {result['statusCode']}")
    return result


def _with_one_cookie_header(event: dict[str, Any]) -> dict[str, Any]:
    """Join the cookies of a payload 1.0, which HTTP/2 may send as several headers: Mangum puts commas between them."""
    headers: object = event.get("multiValueHeaders")
    if not isinstance(headers, dict):
        return event
    joined = {
        name: ["; ".join(map(str, cast("list[object]", values)))]
        if str(name).lower() == "cookie" and isinstance(values, list)
        else values
        for name, values in cast("dict[object, object]", headers).items()
    }
    return {**event, "multiValueHeaders": joined}


def _readable(adapter: "Mangum", event: dict[str, Any], context: Any) -> bool:
    """Whether the event is a request that Mangum can read. It reads without asking, and would fail in a stack trace."""
    try:
        handler = adapter.infer(event, context)
        scope, _body = handler.scope, handler.body
        return scope["path"].isprintable() and isinstance(scope["method"], str)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        _log.warning("refused a request that cannot be read: %s", type(error).__name__)
        return False


def _refused() -> Result:
    """Return our error as every kind of caller reads it. No app made it: the event is no request to give one."""
    request_id = str(new_id())
    body = {"detail": InvalidRequest.detail, "code": InvalidRequest.code, "request_id": request_id}
    return {
        "statusCode": 400,
        "headers": {"content-type": "application/json", "x-request-id": request_id},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
