"""The bytes of an answer, read no oftener than anybody could see."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp

from lib.providers.base import Reasoning, Text

TICK: Final = 1 / 25
"""Seconds between two reads of an answer that is under way, at least: a film shows no more pictures, and flows."""
PHASES: Final = 16
"""Parts of a tick. Answers of one part are read together, and whoever waits for something else waits for no more."""
LONGEST: Final = 3
"""Ticks between two reads, at most, of an instance that has more to do than time."""


class Arrivals:
    """Reads the body of an answer.

    A model may write a token every few milliseconds, each in a packet of its own, and the way of a packet, from the
    wake-up to the frame that we send, costs many times what its token does. So what arrives within a `TICK` is read as
    one, and a client has fewer frames to draw. Meanwhile it waits, and the bound of what may wait holds the model back.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        """Begin at the body's beginning."""
        self._connection = response.connection
        self._content = response.content
        self._phases = _phases()
        self._due = 0

    async def read(self, *, at_once: bool = False) -> bytes:
        """Wait for the next bytes, at most once a `TICK`; there are none at the body's end.

        Args:
            at_once: whether somebody waits for the first of them, as before the first token and after the last.

        Raises:
            aiohttp.ClientError: the connection was lost.
        """
        if not at_once and self._due > self._phases.now() and not self._content.is_eof():
            await self._rest()
        data = self._left() or await self._content.readany()
        self._due = self._phases.now() + self._phases.tick
        return data

    async def _rest(self) -> None:
        """Wait for the tick, and leave in the socket what arrives: to take out each packet by itself costs most of it.

        TLS takes packets out all the same, and what it has not handed on is lost with a connection.
        """
        transport = self._connection and self._connection.transport
        if transport is None or transport.get_extra_info("sslcontext") is not None:
            await self._phases.reach(self._due)
            return
        transport.pause_reading()
        try:
            await self._phases.reach(self._due)
        finally:
            transport.resume_reading()

    def _left(self) -> bytes:
        """Return what came before the connection was lost: every public method tells of the loss first."""
        if self._content.exception() is None:
            return b""
        return self._content._read_nowait(-1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class Phases:
    """A clock for all answers of an event loop: those that wake up in the same phase cost the loop one turn.

    Attributes:
        tick: phases between two reads of an answer. A loop that comes late to its phases has more to do than time, and
            lets them grow: an answer in fewer frames rather than a later one.
    """

    def __init__(self) -> None:
        """Begin with a loop that keeps up."""
        self.tick = PHASES
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}
        self._late = 0.0
        self._last = self._counts_from = self._time()

    def now(self) -> int:
        """Return how many phases there were."""
        return int(self._time())

    def reach(self, phase: int) -> asyncio.Future[None]:
        """Return what is done when a phase begins."""
        loop = asyncio.get_running_loop()
        if phase not in self._waiting:
            self._waiting[phase] = []
            loop.call_at(phase * (TICK / PHASES), self._begin, phase)
        reached = loop.create_future()
        self._waiting[phase].append(reached)
        return reached

    def _begin(self, phase: int) -> None:
        now = self._time()
        if now - self._last > PHASES / TICK:  # for a second nobody read, or the instance was frozen
            self._late, self._counts_from = 0.0, now
        self._last = now
        if phase >= self._counts_from:
            self._late += (min(now - phase, PHASES) - self._late) / PHASES
        self.tick = min(PHASES + int(4 * self._late), LONGEST * PHASES)  # twice as long for four phases, which is 10 ms
        for reached in self._waiting.pop(phase):
            if not reached.done():
                reached.set_result(None)

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time() * (PHASES / TICK)


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Phases] = WeakKeyDictionary()


def _phases() -> Phases:
    loop = asyncio.get_running_loop()
    if loop not in _of_loops:
        _of_loops[loop] = Phases()
    return _of_loops[loop]


def joined(pieces: Sequence[Text | Reasoning]) -> Iterator[Text | Reasoning]:
    """Yield what was read as one, neighbours of a kind in one piece."""
    if len(pieces) < 2:
        yield from pieces
        return
    for kind, run in groupby(pieces, type):
        yield kind("".join([piece.text for piece in run]))
