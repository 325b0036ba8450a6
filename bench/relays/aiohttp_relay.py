"""Bytes relayed by aiohttp alone: `python -m bench.relays.aiohttp_relay PORT`, `UPSTREAM` in the environment."""

import os
import sys
from collections.abc import AsyncGenerator
from typing import Final

import aiohttp
from aiohttp import web

UPSTREAM: Final = os.environ["UPSTREAM"]
SESSION: Final = web.AppKey("session", aiohttp.ClientSession)


async def relay(request: web.Request) -> web.StreamResponse:
    """Ask the upstream the same, and pass on what it says."""
    async with request.app[SESSION].post(UPSTREAM + request.path, data=await request.read()) as answer:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]})
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def session(app: web.Application) -> AsyncGenerator[None]:
    """Keep one session."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as kept:
        app[SESSION] = kept
        yield


def main() -> None:
    """Serve until told to end."""
    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_post("/{path:.*}", relay)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
