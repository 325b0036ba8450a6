"""A model upstream that says its answer token by token, at a pace: what the relays of `bench/streams.py` ask.

    python -m bench.model [--chunks 200] [--pace-ms 5]

It speaks OpenAI's chat completions, Gemini's `models/{model}:streamGenerateContent?alt=sse`, and to any other path it
is a workflow of n8n's that streams. It prints `ready URL`, and ends when its standard input does.

A pace of 0 is as fast as the reader takes. At any other, the first token leaves with the head of the answer, and token
n leaves n paces after it, counted from the beginning, so that nothing adds up. One timer for all connections turns a
wheel whose slots are the milliseconds of a pace: 200 connections cost one wake-up a millisecond. Tokens that are due
together, since the machine was late or the reader slow, leave together.
"""

import argparse
import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import uvloop

from bench.wire import Answer, gemini, openai, workflow
from local.part import until_told_to_end

CHUNKS: Final = 200
PACE: Final = 5
"""Milliseconds between two tokens."""
_JOINED: Final = 64
"""How many tokens are given to the socket at a time where there is no pace."""


@dataclass(frozen=True)
class Answers:
    """What a model says to everybody, in each of its dialects."""

    plain: Answer
    with_usage: Answer
    gemini: Answer
    workflow: Answer

    def to(self, head: bytes, body: bytes) -> Answer:
        """Return the answer to a request."""
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/chat/completions"):
            return self.with_usage if b'"include_usage"' in body else self.plain
        return self.gemini if b":streamGenerateContent" in path else self.workflow


def answers(chunks: int) -> Answers:
    """Build answers of so many tokens."""
    return Answers(openai(chunks, usage=False), openai(chunks, usage=True), gemini(chunks), workflow(chunks))


class Wheel:
    """Calls everybody who is on it once a pace, with the time in milliseconds.

    Args:
        pace: milliseconds.
    """

    def __init__(self, pace: int) -> None:
        self.pace = pace
        self._loop = asyncio.get_running_loop()
        self._slots: list[set[Callable[[int], None]]] = [set() for _ in range(pace)]
        self._at = 0
        self._turns = False

    def now(self) -> int:
        """Return the time in milliseconds, since whenever."""
        return int(self._loop.time() * 1000)

    def join(self, call: Callable[[int], None]) -> set[Callable[[int], None]]:
        """Let it be called from now on, and return its slot, out of which it takes itself."""
        if not self._turns:
            self._turns, self._at = True, self.now()
            self._loop.call_later(0.001, self._turn)
        slot = self._slots[self.now() % self.pace]
        slot.add(call)
        return slot

    def _turn(self) -> None:
        now = self.now()
        for at in range(max(self._at, now - self.pace) + 1, now + 1):
            for call in tuple(self._slots[at % self.pace]):
                call(now)
        self._at, self._turns = now, any(self._slots)
        if self._turns:
            self._loop.call_later(0.001, self._turn)


class Connection(asyncio.Protocol):
    """One connection, which carries one request after the other.

    Args:
        says: the answers.
        wheel: what keeps the pace; None for none.
    """

    def __init__(self, says: Answers, wheel: Wheel | None) -> None:
        self._says = says
        self._wheel = wheel
        self._transport: asyncio.Transport
        self._received = b""
        self._answer: Answer | None = None
        self._sent = self._began = 0
        self._slot: set[Callable[[int], None]] = set()
        self._is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write to."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say nothing more."""
        del exc
        self._slot.discard(self._keep_pace)
        self._answer = None

    def data_received(self, data: bytes) -> None:
        """Read a request, and begin to answer once it is whole."""
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if blank and len(body) >= _length(head):
            self._received = b""
            self._begin(self._says.to(head, body))

    def pause_writing(self) -> None:
        """Hold back: the reader is slow."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Go on, with all that is due."""
        self._is_full = False
        if self._answer is None:
            return
        if self._wheel is None:
            self._pour(self._answer)
        else:
            self._keep_pace(self._wheel.now())

    def _begin(self, answer: Answer) -> None:
        self._answer = answer
        if self._wheel is None:
            self._sent = 0
            self._transport.write(answer.before)
            self._pour(answer)
            return
        self._sent, self._began = 1, self._wheel.now()
        self._slot = self._wheel.join(self._keep_pace)
        self._transport.write(answer.before + answer.pieces[0])

    def _keep_pace(self, now: int) -> None:
        """Send what is due."""
        if self._answer is None or self._wheel is None or self._is_full:
            return
        self._send(self._answer, 1 + (now - self._began) // self._wheel.pace)

    def _pour(self, answer: Answer) -> None:
        """Send what the reader takes."""
        while self._answer is answer and not self._is_full:
            self._send(answer, self._sent + _JOINED)

    def _send(self, answer: Answer, until: int) -> None:
        """Send the tokens before one, and the end after the last of them."""
        pieces = answer.pieces[self._sent : until]
        self._sent += len(pieces)
        if self._sent == len(answer.pieces):
            self._slot.discard(self._keep_pace)
            self._answer = None
            pieces = [*pieces, answer.after]
        self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(chunks: int, pace: int) -> asyncio.Server:
    """Serve on loopback, on a port that is free."""
    says, wheel = answers(chunks), Wheel(pace) if pace else None
    return await asyncio.get_running_loop().create_server(lambda: Connection(says, wheel), "127.0.0.1", 0, backlog=1024)


async def _run(chunks: int, pace: int) -> None:
    async with await serve(chunks, pace) as server:
        print(f"ready http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await until_told_to_end()


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="tokens of an answer")
    parser.add_argument("--pace-ms", type=int, default=PACE, help="milliseconds between two tokens; 0 for none")
    given = parser.parse_args()
    uvloop.run(_run(given.chunks, given.pace_ms))


if __name__ == "__main__":
    main()
