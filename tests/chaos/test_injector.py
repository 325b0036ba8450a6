"""What fails on command fails as it is told, and says whom it has harmed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from tests.chaos.injector import Injector, Streams
from tests.chaos.plan import Fault, Kind, Side


def fault(kind: Kind, after: int = 0, side: Side = "answered") -> Fault:
    return Fault("storage", kind, 0.0, 1.0, after, side)


@dataclass
class Echo:
    """A server that says everything again, behind an injector."""

    injector: Injector
    writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    async def connect(self) -> Streams:
        host, port = self.injector.at.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        self.writers.append(writer)
        return reader, writer


@pytest.fixture
async def echo() -> AsyncGenerator[Echo]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data)
                await writer.drain()
        await close(writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, Injector(lambda: asyncio.open_connection(host, port)) as injector:
        echo = Echo(injector)
        yield echo
        for writer in echo.writers:
            await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def say(streams: Streams, words: bytes) -> bytes:
    """Say something, and return what comes back until it is whole, or the end."""
    reader, writer = streams
    writer.write(words)
    with suppress(ConnectionError):
        try:
            return await reader.readexactly(len(words))
        except asyncio.IncompleteReadError as error:
            return error.partial
    return b""


async def test_without_a_fault_everything_goes_through(echo: Echo) -> None:
    assert await say(await echo.connect(), b"bees") == b"bees"
    assert (echo.injector.harmed, echo.injector.since) == (set(), None)


@pytest.mark.parametrize(("side", "heard"), [("answered", b"be"), ("asked", b"be")])
async def test_a_cut_lets_so_many_bytes_through(echo: Echo, side: Side, heard: bytes) -> None:
    echo.injector.begin(fault("cut", 2, side))
    assert await say(await echo.connect(), b"bees") in {heard, b""}
    assert len(echo.injector.harmed) == 1
    assert await say(await echo.connect(), b"bees") == b"bees"


async def test_a_refusal_ends_connections_and_takes_no_new_ones(echo: Echo) -> None:
    before, refusal = await echo.connect(), fault("refuse")
    assert await say(before, b"bees") == b"bees"
    echo.injector.begin(refusal)
    assert await say(before, b"bees") == b""
    assert await say(await echo.connect(), b"bees") == b""
    echo.injector.end(refusal)
    assert await say(await echo.connect(), b"bees") == b"bees"


async def test_a_reset_ends_connections_and_takes_new_ones(echo: Echo) -> None:
    before = await echo.connect()
    await say(before, b"bees")
    echo.injector.begin(fault("reset"))
    assert await say(before, b"bees") == b""
    assert await say(await echo.connect(), b"bees") == b"bees"


async def test_what_stalls_comes_when_it_is_healed(echo: Echo) -> None:
    echo.injector.begin(fault("stall"))
    saying = asyncio.create_task(say(await echo.connect(), b"bees"))
    await asyncio.wait((saying,), timeout=0.05)
    assert not saying.done()
    echo.injector.heal()
    assert await saying == b"bees"
    assert len(echo.injector.harmed) == 1
