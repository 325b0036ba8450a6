"""An n8n workflow as the document describes one, on loopback: what it is sent, and a reply of the document's."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

GREETING = ("Hi", " there!", " How", " can", " I", " help", " you?")


@dataclass
class Workflow:
    """A running workflow.

    Attributes:
        url: its webhook.
        bodies: what it was sent, oldest first.
        tokens: the header `Authorization` of each, None where there was none.
        whole: whether it replies with one JSON object instead of a stream.
    """

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tokens: list[str | None] = field(default_factory=list[str | None])
    whole: bool = False

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        self.tokens.append(request.headers.get("Authorization"))
        if self.whole:
            return web.json_response({"content": "Hi there! How can I help you?"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in GREETING:
            await response.write(f'data: {{"content": "{piece}"}}\n\n'.encode())
        await response.write(b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def working() -> AsyncGenerator[Workflow]:
    """Run a workflow."""
    workflow = Workflow()
    app = web.Application()
    app.router.add_post("/webhook/{name}", workflow._reply)  # pyright: ignore[reportPrivateUsage]
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        workflow.url = f"http://{host}:{port}/webhook/test"
        yield workflow
    finally:
        await runner.cleanup()
