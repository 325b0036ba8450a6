"""A client of many streams at once, over raw sockets: how soon the first token comes, how many come, what goes wrong.

    python -m bench.load < ASKED > FIGURES

It reads what to ask as JSON (`Asked`) and writes JSON (`Figures`). Each stream asks again as soon as its answer is
whole. Their beginnings are spread over `spread` seconds, as they are between people; once all are under way, what comes
counts, for `seconds`; then each is read to its end. The processor's time of the processes to `watch` is read at the
beginning and at the end of that window.

A token is counted by the mark at its end, whatever frame it comes in. An answer counts as an error when it is not 200,
lacks a token or has one too many, ends without `end`, or takes longer than `patience`.
"""

import asyncio
import sys
import time
from collections import Counter
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench.processes import processor_time
from bench.wire import MARK

_MARK: Final = MARK.encode()
_GOOD: Final = b"HTTP/1.1 200"
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
_TAIL: Final = 1024
"""Bytes at the end of what has arrived, in which the signs of an end are looked for."""


class Request(msgspec.Struct, frozen=True):
    """What a stream posts."""

    path: str
    body: bytes
    headers: dict[str, str] = {}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, of whom.

    Attributes:
        url: the server.
        requests: one for each stream.
        tokens: of a whole answer.
        repeats: how many tokens an answer says again at its end; those do not count.
        end: what is in the last bytes of an answer that is whole.
        spread: seconds over which the streams begin.
        seconds: how long is counted; 0 for one request each, counted from first to last.
        watch: ids of processes whose time is read, with their children's.
        patience: seconds that an answer may take.
    """

    url: str
    requests: list[Request]
    tokens: int
    end: bytes
    repeats: int = 0
    spread: float = 0.0
    seconds: float = 0.0
    watch: list[int] = []
    patience: float = 120.0


class Figures(msgspec.Struct, frozen=True):
    """What was seen.

    Attributes:
        tokens: how many came in the window.
        seconds: how long that was.
        first: milliseconds to the first token, of each answer that was asked for in the window.
        answers: how many answers ended, in the window or after it.
        errors: how often what went wrong.
        cpu: seconds of processor time in the window, of each process to watch.
    """

    tokens: int
    seconds: float
    first: list[float]
    answers: int
    errors: dict[str, int]
    cpu: list[float]


class Count:
    """What all streams have seen."""

    def __init__(self) -> None:
        self.counts = False
        self.tokens = self.answers = 0
        self.first: list[float] = []
        self.errors: Counter[str] = Counter()


class Stream(asyncio.Protocol):
    """One stream: a connection that asks, reads to the end, and asks again.

    Args:
        asked: what is asked, of whom.
        request: this stream's.
        count: where what it sees is noted.
    """

    def __init__(self, asked: Asked, request: Request, count: Count) -> None:
        self._asked = asked
        self._bytes = _wire(asked.url, request)
        self._count = count
        self._transport: asyncio.Transport | None = None
        self._whole: asyncio.Future[str] | None = None
        self._tail = b""
        self._seen = 0
        self._began = 0.0
        self._is_counted = self._is_answered = False

    async def ask(self) -> bool:
        """Ask once, read the whole answer, note it, and return whether it was one."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            parts = urlsplit(self._asked.url)
            await loop.create_connection(lambda: self, parts.hostname or "", parts.port or 80)
        assert self._transport is not None  # noqa: S101 - for the types
        self._whole = loop.create_future()
        self._tail, self._seen = b"", 0
        self._is_counted, self._is_answered = self._count.counts, False
        self._began = time.perf_counter()
        self._transport.write(self._bytes)
        try:
            async with asyncio.timeout(self._asked.patience):
                wrong = await self._whole
        except TimeoutError:
            wrong = "took too long"
        self._count.answers += 1
        if wrong:
            self._count.errors[wrong] += 1
            self.close()
        return not wrong

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write to."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection for that of an answer, which is whole only if it says so."""
        self._transport = None
        self._ends(self._wrong("cut short" if exc is None else "connection lost"))

    def data_received(self, data: bytes) -> None:
        """Count the tokens, and see whether that was the end."""
        if self._whole is None or self._whole.done():
            return
        if not self._is_answered and not self._answers(data):
            return
        if new := data.count(_MARK):
            if not self._seen and self._is_counted:
                self._count.first.append((time.perf_counter() - self._began) * 1000)
            seen = self._seen + new
            if self._count.counts:
                most = self._asked.tokens
                self._count.tokens += min(seen, most) - min(self._seen, most)
            self._seen = seen
        self._tail = data[-_TAIL:] if len(data) >= _TAIL else (self._tail + data)[-_TAIL:]
        if self._tail.endswith(_LAST_CHUNK):
            self._ends(self._wrong())

    def _answers(self, data: bytes) -> bool:
        """Read the status, and return whether it is there and good."""
        status = (self._tail + data)[: len(_GOOD)]
        self._is_answered = status == _GOOD
        if len(status) < len(_GOOD):
            self._tail = status
        elif not self._is_answered:
            self._ends(f"status {status[-3:].decode(errors='replace')}")
        return self._is_answered

    def _ends(self, wrong: str) -> None:
        if self._whole is not None and not self._whole.done():
            self._whole.set_result(wrong)

    def _wrong(self, otherwise: str = "without its end") -> str:
        """Return what is wrong with the answer, empty for nothing."""
        if self._seen != self._asked.tokens + self._asked.repeats:
            return "a token missing" if self._seen < self._asked.tokens + self._asked.repeats else "a token too many"
        return "" if self._asked.end in self._tail else otherwise


def _wire(url: str, request: Request) -> bytes:
    headers = {
        "Host": urlsplit(url).netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(request.body)),
        **request.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {request.path} HTTP/1.1\r\n{lines}\r\n".encode() + request.body


async def load(asked: Asked) -> Figures:
    """Ask as is asked for, and return what was seen."""
    count, ends = Count(), asyncio.Event()
    streams = [Stream(asked, request, count) for request in asked.requests]
    running = [
        asyncio.create_task(_again(stream, asked.spread * number / len(streams), ends))
        for number, stream in enumerate(streams)
    ]
    if asked.seconds:
        await asyncio.sleep(asked.spread)
    before, began = _times(asked), time.perf_counter()
    count.counts = True
    if asked.seconds:
        await asyncio.sleep(asked.seconds)
    else:
        ends.set()
        await asyncio.gather(*running)
    count.counts = False
    seconds = time.perf_counter() - began
    cpu = [after - earlier for after, earlier in zip(_times(asked), before, strict=True)]
    ends.set()
    await asyncio.gather(*running)
    return Figures(count.tokens, seconds, count.first, count.answers, dict(count.errors), cpu)


async def _again(stream: Stream, wait: float, ends: asyncio.Event) -> None:
    """Ask, from a moment on, and again until it ends; whoever fails waits a little, so that errors stay countable."""
    await asyncio.sleep(wait)
    while True:
        was_whole = await stream.ask()
        if ends.is_set():
            break
        if not was_whole:
            await asyncio.sleep(0.1)
    stream.close()


def _times(asked: Asked) -> list[float]:
    return [processor_time(process) for process in asked.watch]


def main() -> None:
    """Read what to ask, and write what was seen."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(load(asked))))


if __name__ == "__main__":
    main()
