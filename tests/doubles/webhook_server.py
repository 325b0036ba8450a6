"""A webhook on loopback that replies with any bytes: those of n8n's workflows, and those of whoever means harm."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from aiohttp import web

DEFAULT_TYPE: Final = "text/html; charset=utf-8"
"""What n8n labels most replies with, whatever they are."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a webhook replies.

    Attributes:
        pieces: the body, a write each.
        status: its status.
        content_type: what it says that it is.
        headers: more headers.
        gate: each piece waits here until the test lets it through.
        endless: sent again and again after the pieces, until the client goes away or `most` bytes are sent.
        most: the most bytes that are sent in all.
        keeps_open: leave the body open after the last piece.
        cut: drop the connection in place of ending the body.
    """

    pieces: tuple[bytes, ...] = (b'{"content":"Hello"}',)
    status: int = 200
    content_type: str = DEFAULT_TYPE
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    gate: asyncio.Semaphore | None = None
    endless: bytes = b""
    most: int = 1 << 30
    keeps_open: bool = False
    cut: bool = False


@dataclass(slots=True, eq=False)
class WebhookCall:
    """One request that arrived: `sent` counts the bytes of its reply, `gone` is set once the client went away."""

    path: str
    headers: Mapping[str, str]
    body: Any
    sent: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class WebhookServer:
    """Replies to any POST, as `reply` says.

    Attributes:
        calls: what arrived, oldest first.
        connections: how many connections carried it.
    """

    def __init__(self) -> None:
        self.reply = Reply()
        self.calls: list[WebhookCall] = []
        self.base = ""
        self.port = 0
        self._transports: set[asyncio.BaseTransport | None] = set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        self.base = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The webhook's address."""
        return f"{self.base}/webhook/support-bot"

    @property
    def connections(self) -> int:
        """How many connections have carried calls."""
        return len(self._transports)

    def replies(self, *pieces: bytes, **more: Any) -> None:
        """Reply to every call with these bytes from now on."""
        self.reply = Reply(pieces, **more)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = WebhookCall(request.path, dict(request.headers), await request.json() if request.can_read_body else None)
        self.calls.append(call)
        self._transports.add(request.transport)
        try:
            return await self._send(request, call, self.reply)
        except (asyncio.CancelledError, ConnectionError):
            call.gone.set()
            raise

    async def _send(self, request: web.Request, call: WebhookCall, reply: Reply) -> web.StreamResponse:
        headers = {"Content-Type": reply.content_type, **reply.headers}
        response = web.StreamResponse(status=reply.status, headers=headers)
        await response.prepare(request)
        for piece in reply.pieces:
            if reply.gate:
                await reply.gate.acquire()
            await self._write(response, call, piece)
        while reply.endless and call.sent < reply.most:
            await self._write(response, call, reply.endless)
        if reply.keeps_open:
            await asyncio.Event().wait()
        if reply.cut:
            assert request.transport is not None
            request.transport.close()
        return response

    @staticmethod
    async def _write(response: web.StreamResponse, call: WebhookCall, piece: bytes) -> None:
        await response.write(piece)
        call.sent += len(piece)
