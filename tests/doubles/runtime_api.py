"""Lambda's Runtime API, which the official runtime client asks for events and tells what came of them.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import uuid4

from aiohttp import web

VERSION: Final = "/2018-06-01/runtime"
LARGEST: Final = 6 * 1024 * 1024
"""Bytes of an event or a result; Lambda takes no more."""


class FunctionError(Exception):
    """The function raised, or did not start. `kind` and `message` are what it told Lambda."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(f"{told.get('errorType')}: {told.get('errorMessage')}")
        self.kind = told.get("errorType")
        self.message = told.get("errorMessage")


@dataclass(eq=False)
class _Invocation:
    event: Any
    id: str = field(default_factory=lambda: str(uuid4()))
    result: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class RuntimeApi:
    """The Runtime API of one function instance, in the running loop."""

    def __init__(self) -> None:
        self.address = ""
        self.init_error: asyncio.Future[FunctionError] = asyncio.get_running_loop().create_future()
        self._waiting: asyncio.Queue[_Invocation] = asyncio.Queue()
        self._under_way: dict[str, _Invocation] = {}

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=LARGEST)
        app.add_routes(
            [
                web.get(f"{VERSION}/invocation/next", self._next),
                web.post(VERSION + "/invocation/{id}/response", self._response),
                web.post(VERSION + "/invocation/{id}/error", self._error),
                web.post(f"{VERSION}/init/error", self._init_error),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = "{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    def invoke(self, event: Any) -> asyncio.Future[Any]:
        """Hand the instance an event; the future is its result, or a FunctionError."""
        invocation = _Invocation(event)
        self._under_way[invocation.id] = invocation
        self._waiting.put_nowait(invocation)
        return invocation.result

    async def _next(self, request: web.Request) -> web.Response:
        invocation = await self._waiting.get()
        headers = {
            "Content-Type": "application/json",  # with a charset the client would take it for bytes
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 29) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:parley",
        }
        return web.Response(body=json.dumps(invocation.event).encode(), headers=headers)

    async def _response(self, request: web.Request) -> web.Response:
        self._under_way.pop(request.match_info["id"]).result.set_result(json.loads(await request.read()))
        return web.Response(status=202)

    async def _error(self, request: web.Request) -> web.Response:
        error = FunctionError(await request.json())
        self._under_way.pop(request.match_info["id"]).result.set_exception(error)
        return web.Response(status=202)

    async def _init_error(self, request: web.Request) -> web.Response:
        self.init_error.set_result(FunctionError(await request.json()))
        return web.Response(status=202)
