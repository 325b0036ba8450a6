"""Readers who ask for a long answer and then read nothing for a while: it waits upstream, and not in our memory."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from uuid import UUID

import httpx
import psutil
import pytest

from lib.web.stream import STALL
from tests.fixtures.served import served
from tests.fixtures.streams import Event, events
from tests.fixtures.web import JWT_KEY, SEAL_KEY, Rows, frames, question

CHUNK: Final = "In the harbour lie seven ships, and none of them is ours. " * 16
CHUNKS: Final = 3000
ANSWER: Final = CHUNK * CHUNKS
"""Some 2.8 MB."""
PATH: Final = "/api/v1/chat/stream?protocol=native"
ETHERNET: Final = 1460
"""Bytes of a segment. With those of loopback, 64 KB, the kernel would hold megabytes for a reader who reads nothing."""
SMALL: Final = 64 * 1024

TAKEN: Final = CHUNKS // 2
"""Chunks that may leave the upstream for a reader who reads nothing, some 1.7 MB: measured are .9 to 1.2 MB. The
sockets on the way hold up to .5 MB of that, what aiohttp reads ahead is most of the rest, uvicorn holds 64 KB."""
MEMORY: Final = 1.5e6
"""Bytes of memory that such a stream may take: measured are .9 MB, most of it what aiohttp has read ahead. One that is
read to its end takes 17 MB."""
FIRST: Final = 10e6
"""Bytes that the first such stream may take besides, for what is imported and set up then: measured are 6.5 MB."""


def frame(content: str | None, finish: str | None = None) -> bytes:
    """Return a chunk as OpenAI's own servers send it."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "double-1"}
    payload = b"data: %b\n\n" % json.dumps(head | {"choices": [choice]}).encode()
    return b"%x\r\n%b\r\n" % (len(payload), payload)


@dataclass
class Torrent:
    """A model that answers at length, or briefly where that is asked for.

    Attributes:
        pace: seconds between two chunks. The kernel takes megabytes in of an upstream that does not wait at all.
        taken: chunks that the kernel took of each long answer.
        all_said: set once every long answer is said.
    """

    pace: float
    taken: list[int] = field(default_factory=list[int])
    all_said: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        with socket.socket() as listener:
            # What it holds is the upstream's own, and small, so that what Parley takes shows.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET)
            listener.bind(("127.0.0.1", 0))
            listener.listen(200)
            self._server = await asyncio.start_server(self._serve, sock=listener.dup())
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=0)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                asked = await reader.readexactly(length)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                await (self._briefly(writer) if b"Briefly" in asked else self._at_length(writer))
                writer.write(frame(None, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    @staticmethod
    async def _briefly(writer: asyncio.StreamWriter) -> None:
        writer.write(frame("Seven."))

    async def _at_length(self, writer: asyncio.StreamWriter) -> None:
        number, chunk = len(self.taken), frame(CHUNK)
        self.taken.append(0)
        for _ in range(CHUNKS):
            await asyncio.sleep(self.pace)
            writer.write(chunk)
            await writer.drain()
            self.taken[number] += 1
        if all(taken == CHUNKS for taken in self.taken):
            self.all_said.set()

    async def until_nothing_is_taken(self, readers: int) -> None:
        """Wait until all have asked, and nothing was taken for a second."""
        before: list[int] = []
        while len(before) < readers or before != self.taken:
            before = list(self.taken)
            await asyncio.sleep(1)


@dataclass
class Stalled:
    """A reader who has asked, and reads nothing until told to."""

    connection: socket.socket
    message_id: str = ""

    @classmethod
    async def ask(cls, url: str) -> Self:
        """Ask over a connection that holds little."""
        host, port = url.removeprefix("http://").split(":")
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, (host, int(port)))
        body = json.dumps(question("Tell me at length.")).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        await loop.sock_sendall(connection, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return cls(connection)

    async def read_on(self) -> tuple[str, list[Event]]:
        """Read to the end, and return the text and the events that came."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        reader, writer = await asyncio.open_connection(sock=self.connection)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        self.message_id = head.split("x-message-id: ")[1].split("\r\n")[0]
        body = bytearray()
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
        writer.close()
        read = events(body.decode())
        return "".join(event.data["text"] for event in read if event.kind == "text"), read


@dataclass(frozen=True)
class Beset:
    """A Parley in a process of its own, its model, the readers who read nothing of it, and by how much it has grown."""

    url: str
    model: Torrent
    readers: list[Stalled]
    grown: Callable[[], int]


@asynccontextmanager
async def beset(folder: Path, database_url: str, *, readers: int, pace: float) -> AsyncGenerator[Beset]:
    """Have readers ask for long answers and read nothing, until no more of these is taken."""
    environment = {
        "DATABASE_URL": database_url,
        "OPENAI_API_KEY": "key",
        "CHAT_MODEL": "double-1",
        "JWT_SECRET_KEY": JWT_KEY,
        "SEAL_KEY": SEAL_KEY,
        "GUEST_CHAT": "true",
        "TITLE_MODEL": "off",
        "RATE_LIMITS": "chat=0",
        "AGENT_TIMEOUT": "300",  # the whole turn's limit, which a reader who pauses uses up
    }
    async with Torrent(pace) as model, served(folder, OPENAI_BASE_URL=model.url, **environment) as parley:
        await brief(parley.url)
        process = psutil.Process(parley.process.pid)
        before = process.memory_info().rss
        asked = [await Stalled.ask(parley.url) for _ in range(readers)]
        try:
            await model.until_nothing_is_taken(readers)
            yield Beset(parley.url, model, asked, lambda: process.memory_info().rss - before)
        finally:
            for reader in asked:  # a server that is to end waits for them
                reader.connection.close()


async def brief(url: str) -> None:
    """Have a short answer, as anybody else."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        response = await client.post("/api/v1/chat/stream", json=question("Briefly."))
        assert frames(response.text)[-1]["content"] == "Seven."


@pytest.mark.parametrize(
    ("readers", "pace", "seconds"), [(3, 0.001, 2), pytest.param(50, 0.02, 25, marks=pytest.mark.long)]
)
async def test_what_nobody_reads_stays_upstream_and_comes_whole_when_it_is_read(
    database_url: str, tmp_path: Path, readers: int, pace: float, seconds: int
) -> None:
    async with beset(tmp_path, database_url, readers=readers, pace=pace) as parley:
        taken, grown = list(parley.model.taken), parley.grown()
        assert max(taken) < TAKEN
        assert grown < FIRST + readers * MEMORY
        for _ in range(seconds):
            await asyncio.sleep(1)
            await brief(parley.url)
        assert parley.model.taken == taken
        assert parley.grown() - grown < MEMORY

        parley.model.pace = 0
        for text, read in await asyncio.gather(*(reader.read_on() for reader in parley.readers)):
            assert text == ANSWER
            assert (read[-1].kind, read[-1].data["text"] == ANSWER) == ("finished", True)


@pytest.mark.long
async def test_who_reads_nothing_for_a_minute_is_gone_and_the_answer_is_kept_whole(
    database_url: str, tmp_path: Path, rows: Rows
) -> None:
    async with beset(tmp_path, database_url, readers=3, pace=0.003) as parley:
        parley.model.pace = 0
        async with asyncio.timeout(STALL + 30):
            await parley.model.all_said.wait()
            for reader in parley.readers:
                text, read = await reader.read_on()
                assert ANSWER.startswith(text)
                assert text != ANSWER
                assert read[-1].kind == "text"
                kept = "SELECT status, parts #>> '{0,text}' AS text FROM messages WHERE id = %s"
                assert await rows(kept, UUID(reader.message_id)) == [{"status": "complete", "text": ANSWER}]
