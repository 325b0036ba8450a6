"""What a search asks, embeddings or a vector store, on bare sockets: it always says the same, and can be held back."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

NOTHING: Final = b'{"result": {"points": []}}'
"""What a vector store says that found nothing."""


def numbers(count: int) -> bytes:
    """Return what embeddings say: so many numbers."""
    return json.dumps({"data": [{"index": 0, "embedding": [0.25] * count}]}).encode()


class Service:
    """Answers every request with one body.

    Attributes:
        status: of each answer.
        asked: how often it was.
        left: set when a client leaves without an answer.
    """

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.status = 200
        self.asked = 0
        self.left = asyncio.Event()
        self._came = asyncio.Semaphore(0)
        self._answers = asyncio.Event()
        self._answers.set()

    def hold(self) -> None:
        """Take requests and answer none until `release`."""
        self._answers.clear()

    def release(self) -> None:
        """Answer."""
        self._answers.set()

    async def is_asked(self) -> None:
        """Return once a request has come that was not waited for before."""
        async with asyncio.timeout(5):
            await self._came.acquire()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        self.asked += 1
        self._came.release()
        answers, leaves = asyncio.create_task(self._answers.wait()), asyncio.create_task(reader.read())
        await asyncio.wait((answers, leaves), return_when=asyncio.FIRST_COMPLETED)
        if self._answers.is_set():
            head = f"HTTP/1.1 {self.status} Whatever\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + self.body)
        else:
            self.left.set()
        for task in (answers, leaves):
            task.cancel()
        writer.close()


@asynccontextmanager
async def serving(body: bytes) -> AsyncGenerator[tuple[Service, str]]:
    service = Service(body)
    async with await asyncio.start_server(service.converse, "127.0.0.1", 0) as server:
        try:
            yield service, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            service.release()
