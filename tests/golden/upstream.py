"""A model's or a webhook's server that sends bytes as they are, each piece only once what it shows is with the reader.

So each piece is a read of its own at Parley, whatever else the computer does: what is sent never waits together.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal, Self

Kind = Literal["text", "reasoning"]
"""What of an answer a reader sees at once. What else an upstream tells shows with the answer's end."""


@dataclass(frozen=True, slots=True)
class Read:
    """Bytes that arrive together, and the frames in which a reader who is shown everything sees them at once."""

    data: bytes
    shows: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to every request.

    Attributes:
        reads: the body.
        status: its status.
        content_type: what it says that it is.
        headers: more headers.
        end: how the body ends: as HTTP has it, with the connection dropped, or not at all.
    """

    reads: tuple[Read, ...]
    status: int = 200
    content_type: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    end: Literal["whole", "cut", "open"] = "whole"


def answer(*reads: Read | bytes, **more: Any) -> Answer:
    """Return the answer of these reads; those that are bytes alone show nothing."""
    return Answer(tuple(Read(read) if isinstance(read, bytes) else read for read in reads), **more)


class Reader:
    """What a reader has received, for whoever waits until they have."""

    def __init__(self, marks: Mapping[Kind, bytes]) -> None:
        """Take how a frame of each kind is known. A kind without a mark is not shown to this reader."""
        self.received = bytearray()
        self._marks = marks
        self._more = asyncio.Condition()

    async def receive(self, data: bytes) -> None:
        """Take note of more."""
        async with self._more:
            self.received += data
            self._more.notify_all()

    def shown(self) -> Counter[Kind]:
        """Return how many frames of each kind have arrived."""
        return Counter({kind: self.received.count(mark) for kind, mark in self._marks.items()})

    async def until(self, frames: Counter[Kind]) -> None:
        """Wait until so many frames have arrived."""
        async with self._more:
            await self._more.wait_for(lambda: self.shown() >= frames)

    def seen_of(self, kinds: Iterable[Kind]) -> Counter[Kind]:
        """Return those of the kinds that this reader is shown."""
        return Counter(kind for kind in kinds if kind in self._marks)


PATIENCE: Final = 10.0
"""Seconds in which what was sent has to be with the reader."""


class Upstream:
    """A server on loopback that answers every request alike.

    Attributes:
        answer: what it answers.
        reader: who reads what comes of it.
        asked: how many requests it had.
        late: what should have been shown at once, and was not.
        said_all: set once a request has had the whole answer.
    """

    def __init__(self) -> None:
        self.answer = Answer(())
        self.reader = Reader({})
        self.asked = 0
        self.late: list[Read] = []
        self.said_all = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().splitlines() if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].partition(b":")[2]))
                self.asked += 1
                await self._answer(writer)
                if self.answer.end == "open":
                    await reader.read()
                if self.answer.end != "whole":
                    break
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        status = f"HTTP/1.1 {self.answer.status} {HTTPStatus(self.answer.status).phrase}"
        headers = {"Content-Type": self.answer.content_type, "Transfer-Encoding": "chunked", **self.answer.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"{status}\r\n{lines}\r\n".encode())
        for read in self.answer.reads:
            frames = self.reader.shown() + self.reader.seen_of(read.shows)
            writer.write(b"%x\r\n%b\r\n" % (len(read.data), read.data))
            await asyncio.sleep(0)  # lets whoever is in this loop, too, take it
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.reader.until(frames)
            except TimeoutError:
                self.late.append(read)
        if self.answer.end == "whole":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        self.said_all.set()
