"""A TCP proxy in front of something that fails on command: it refuses, stalls, resets, or cuts after so many bytes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

from tests.chaos.plan import Fault, Side

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Injector:
    """Forwards every connection, as far as the faults let it that are active at that moment. Several may be.

    Attributes:
        harmed: the local ports of its own connections to what is behind it, where bytes were held back or lost.
        since: when the first fault began, by the monotonic clock; None before.
    """

    def __init__(self, reach: Callable[[], Awaitable[Streams]]) -> None:
        """Forward to whatever `reach` connects to."""
        self._reach = reach
        self._active: list[Fault] = []
        self._left: dict[Fault, int] = {}
        self._flows = asyncio.Event()
        self._flows.set()
        self._ended = asyncio.Event()
        self._links: set[_Link] = set()
        self.harmed: set[int] = set()
        self.since: float | None = None

    @classmethod
    def to(cls, url: str) -> Self:
        """Return one in front of a URL's host and port."""
        host, port = url.split("//", 1)[1].split("/", 1)[0].split(":")
        return cls(lambda: asyncio.open_connection(host, int(port)))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.heal()
        self._server.close()
        for link in tuple(self._links):
            link.abort()
        await self._server.wait_closed()

    @property
    def at(self) -> str:
        """Where it listens: `host:port`."""
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def begin(self, fault: Fault) -> None:
        """Begin to fail."""
        self.since = self.since or time.monotonic()
        self._active.append(fault)
        match fault.kind:
            case "stall":
                self._flows.clear()
            case "cut":
                self._left[fault] = fault.after
            case _:
                for link in tuple(self._links):
                    link.harm()
                    link.abort()

    def end(self, fault: Fault) -> None:
        """Fail in this way no more."""
        if fault in self._active:
            self._active.remove(fault)
        self._left.pop(fault, None)
        if all(other.kind != "stall" for other in self._active):
            self._flows.set()

    def heal(self) -> None:
        """Fail in no way any more."""
        for fault in tuple(self._active):
            self.end(fault)

    def forget(self) -> None:
        """Begin with a clean record, for the next seed."""
        self.harmed.clear()
        self.since = None

    async def flows(self, link: "_Link") -> None:
        """Return when bytes go through again."""
        if not self._flows.is_set():
            link.harm()
            await self._flows.wait()

    def lets(self, side: Side, size: int) -> int:
        """Return how many of so many bytes may pass before the connection is to be cut; all of them when it is not."""
        for fault, left in self._left.items():
            if fault.side == side:
                self._left[fault] = left - size
                if left < size:
                    del self._left[fault]
                    return max(left, 0)
        return size

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if any(fault.kind == "refuse" for fault in self._active):
            writer.transport.abort()
            return
        try:
            behind_reader, behind_writer = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), (behind_reader, behind_writer))
        self._links.add(link)
        try:
            await link.forward()
        finally:
            self._links.discard(link)


class _Link:
    """One connection, and the one behind it."""

    def __init__(self, injector: Injector, front: Streams, behind: Streams) -> None:
        self._injector = injector
        self._front, self._behind = front, behind
        name = behind[1].get_extra_info("sockname")
        self._port: int = name[1] if isinstance(name, tuple) else 0

    def harm(self) -> None:
        self._injector.harmed.add(self._port)

    def abort(self) -> None:
        self._front[1].transport.abort()
        self._behind[1].transport.abort()

    async def forward(self) -> None:
        with suppress(ConnectionError):
            await asyncio.gather(
                self._copy("asked", self._front[0], self._behind[1]),
                self._copy("answered", self._behind[0], self._front[1]),
            )
        self._front[1].close()
        self._behind[1].close()

    async def _copy(self, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._injector.flows(self)
            passes = self._injector.lets(side, len(data))
            writer.write(data[:passes])
            await writer.drain()
            if passes < len(data):
                self.harm()
                writer.close()  # which sends what is written, as `abort` does not
                self._front[1].close()
                self._behind[1].close()
                return
        writer.close()
