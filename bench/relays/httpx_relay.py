"""Bytes relayed by Starlette and httpx: `uvicorn bench.relays.httpx_relay:app`, `UPSTREAM` in the environment."""

import os
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

UPSTREAM: Final = os.environ["UPSTREAM"]

client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None, max_keepalive_connections=None))


async def relay(request: Request) -> StreamingResponse:
    """Ask the upstream the same, and pass on what it says."""
    asked = client.build_request("POST", UPSTREAM + request.url.path, content=await request.body())
    answer = await client.send(asked, stream=True)
    return StreamingResponse(
        answer.aiter_raw(),
        status_code=answer.status_code,
        media_type=answer.headers["content-type"],
        background=BackgroundTask(answer.aclose),
    )


app = Starlette(routes=[Route("/{path:path}", relay, methods=["POST"])])
