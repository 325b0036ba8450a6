"""A scripted upstream on loopback: what the doubles of the vendors' servers share.

A vendor's double says how its frames look; this says when they are sent, how they are cut up, and what goes wrong.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Script:
    """How a call is answered. What is left out is as a model that works, at once.

    Attributes:
        pieces: the answer, one frame each.
        reasoning: what the model thinks aloud before it, one frame each; they count as the first pieces below.
        usage: input and output tokens, or None from a vendor that does not tell.
        finish_reason: in the vendor's words, or None to end without one.
        pace: seconds before each piece.
        gate: each piece waits here until the test lets it through (`release`).
        silent: send not even headers, until `resume` is called.
        stall_at: send nothing from this piece on (0 is the first), until `resume` is called.
        cut_at: drop the connection before this piece.
        error_at: send `error` in place of this piece, and end.
        status: an HTTP status other than 200 answers with `error` alone.
        error: the error's body, as the vendor would write it.
        headers: more headers of the answer, such as `Retry-After`.
        raw: these bytes are the whole body, whatever they are and whatever the status.
        write_size: bytes of each write to the socket, so that frames are cut anywhere.
        line_end: between the lines of the stream.
        done: whether the stream ends with the vendor's last word (`[DONE]`).
        keeps_open: leave the body open after the last frame.
        streams: whether a call that asks for a stream gets one.
        rejects: a field of the request that is refused with 400.
    """

    pieces: tuple[str, ...] = ("Hello", ",", " world", ".")
    reasoning: tuple[str, ...] = ()
    usage: tuple[int, int] | None = (12, 4)
    finish_reason: str | None = "stop"
    pace: float = 0.0
    gate: asyncio.Semaphore | None = None
    silent: bool = False
    stall_at: int | None = None
    cut_at: int | None = None
    error_at: int | None = None
    status: int = 200
    error: Any = field(default_factory=lambda: {"error": {"message": "The vendor's own words."}})
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    raw: bytes | None = None
    write_size: int | None = None
    line_end: str = "\n"
    done: bool = True
    keeps_open: bool = False
    streams: bool = True
    rejects: str | None = None

    @classmethod
    def saying(cls, text: str, **more: Any) -> Self:
        """Return the script of an answer that is `text`, word by word."""
        return cls(pieces=tuple(re.findall(r"\s*\S+|\s+$", text)), **more)

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)

    def but(self, **changes: Any) -> Self:
        """Return the same script with some fields changed."""
        return replace(self, **changes)


@dataclass(slots=True, eq=False)
class Call:
    """One request that arrived. `sent` counts the pieces written; `gone` is set once the client went away."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    sent: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Upstream:
    """A server in the running loop, for one test.

    Attributes:
        calls: the model calls that arrived, oldest first.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.url = ""
        self._scripts = [Script()]
        self._transports: set[asyncio.BaseTransport | None] = set()
        self._arrivals: asyncio.Queue[Call] = asyncio.Queue()
        self._resumed = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(self, *error: object) -> None:
        self.resume()
        await self._runner.cleanup()

    def routes(self) -> Sequence[web.RouteDef]:
        """What the vendor's server answers."""
        raise NotImplementedError

    @property
    def connections(self) -> int:
        """How many connections have carried model calls."""
        return len(self._transports)

    def play(self, *scripts: Script) -> None:
        """Answer the next calls by these scripts, in order; the last one answers all that follow."""
        self._scripts = list(scripts)

    def resume(self) -> None:
        """Go on with every answer that stalls, now and later."""
        self._resumed.set()

    async def next_call(self) -> Call:
        """Wait for a model call that was not returned before."""
        return await self._arrivals.get()

    async def receive(self, request: web.Request) -> tuple[Call, Script]:
        """Record a model call, and return it with the script that answers it."""
        call = Call(request.path, dict(request.headers), await request.json())
        self.calls.append(call)
        self._transports.add(request.transport)
        self._arrivals.put_nowait(call)
        return call, self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]

    @staticmethod
    def outright(script: Script) -> web.Response | None:
        """Return what the script answers without any completion: an error, or bytes as they are."""
        if script.raw is not None:
            headers = {"Content-Type": "text/event-stream", **script.headers}
            return web.Response(body=script.raw, status=script.status, headers=headers)
        if script.status != 200:
            return web.json_response(script.error, status=script.status, headers=script.headers)
        return None

    async def stream(
        self,
        request: web.Request,
        call: Call,
        script: Script,
        pieces: Sequence[str],
        closing: Sequence[str],
        error: str,
    ) -> web.StreamResponse:
        """Send frames as the script wants: `pieces` one by one, then `closing`; `error` where it fails midway."""
        try:
            return await self._stream(request, call, script, pieces, closing, error)
        except (asyncio.CancelledError, ConnectionError):
            call.gone.set()
            raise

    async def _stream(
        self,
        request: web.Request,
        call: Call,
        script: Script,
        pieces: Sequence[str],
        closing: Sequence[str],
        error: str,
    ) -> web.StreamResponse:
        if script.silent:
            await self._resumed.wait()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **script.headers})
        await response.prepare(request)
        for index, piece in enumerate([*pieces, ""]):
            if script.stall_at == index:
                await self._resumed.wait()
            if script.cut_at == index:
                assert request.transport is not None
                request.transport.close()
                return response
            if script.error_at == index:
                await self._write(response, script, error)
                return response
            if piece:
                await asyncio.sleep(script.pace)
                if script.gate:
                    await script.gate.acquire()
                await self._write(response, script, piece)
                call.sent += 1
        for frame in closing:
            await self._write(response, script, frame)
        if script.keeps_open:
            await self._resumed.wait()
        return response

    @staticmethod
    async def _write(response: web.StreamResponse, script: Script, frame: str) -> None:
        data = frame.replace("\n", script.line_end).encode()
        size = script.write_size or len(data)
        for start in range(0, len(data), size):
            await response.write(data[start : start + size])
