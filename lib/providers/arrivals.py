"""The bytes of an answer, read no oftener than anybody could see."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import aiohttp

from lib.providers.base import Reasoning, Text

TICK: Final = 1 / 30
"""Seconds between two reads of an answer that is under way: a text that grows thirty times a second seems to flow."""


class Arrivals:
    """Reads the body of an answer.

    A model may write a token every few milliseconds, each in a packet of its own, and the way of a packet, from the
    wake-up to the frame that we send, costs many times what its token does. So what arrives within a `TICK` is read as
    one, and a client has fewer frames to draw. Meanwhile it is in aiohttp's buffer, whose bound holds the model back.
    """

    def __init__(self, content: aiohttp.StreamReader) -> None:
        """Begin at the body's beginning."""
        self._content = content
        self._due = 0.0

    async def read(self, *, at_once: bool = False) -> bytes:
        """Wait for the next bytes, a `TICK` after the last at the earliest; there are none at the body's end.

        Args:
            at_once: whether somebody waits for the first of them, as before the first token and after the last.

        Raises:
            aiohttp.ClientError: the connection was lost.
        """
        clock = asyncio.get_running_loop().time
        if not at_once and (early := self._due - clock()) > 0 and not self._content.is_eof():
            await asyncio.sleep(early)
        data = self._left() or await self._content.readany()
        self._due = clock() + TICK
        return data

    def _left(self) -> bytes:
        """Return what came before the connection was lost: every public method tells of the loss first."""
        if self._content.exception() is None:
            return b""
        return self._content._read_nowait(-1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def joined(pieces: Sequence[Text | Reasoning]) -> Iterator[Text | Reasoning]:
    """Yield what was read as one, neighbours of a kind in one piece."""
    if len(pieces) < 2:
        yield from pieces
        return
    for kind, run in groupby(pieces, type):
        yield kind("".join([piece.text for piece in run]))
