"""Bytes relayed by Starlette and aiohttp: `uvicorn bench.relays.starlette_relay:app`, `UPSTREAM` in the environment."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

UPSTREAM: Final = os.environ["UPSTREAM"]


async def relay(request: Request) -> StreamingResponse:
    """Ask the upstream the same, and pass on what it says."""
    session: aiohttp.ClientSession = request.app.state.session
    answer = await session.post(UPSTREAM + request.url.path, data=await request.body())

    async def pieces() -> AsyncGenerator[bytes]:
        async with answer:
            async for piece in answer.content.iter_any():
                yield piece

    return StreamingResponse(pieces(), status_code=answer.status, media_type=answer.headers["Content-Type"])


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    """Keep one session."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        app.state.session = session
        yield


app = Starlette(routes=[Route("/{path:path}", relay, methods=["POST"])], lifespan=lifespan)
