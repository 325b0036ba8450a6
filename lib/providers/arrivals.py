"""The bytes of an answer, read no oftener than anybody could see."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final

import aiohttp

from lib.providers.base import Reasoning, Text

TICK: Final = 1 / 60
"""Seconds between two reads of an answer that is under way: a picture of most screens."""
ENOUGH: Final = 64 * 1024
"""Bytes with which nobody waits for more."""


class Arrivals:
    """Reads the body of an answer.

    A model may write a token every few milliseconds, each in a packet of its own, and the way of a packet, from the
    wake-up to the frame that we send, costs many times what its token does. So what arrives within a `TICK` is read as
    one, and a client has fewer frames to draw.
    """

    def __init__(self, content: aiohttp.StreamReader) -> None:
        """Begin at the body's beginning."""
        self._content = content
        self._due = 0.0

    async def read(self, *, at_once: bool = False) -> bytes:
        """Wait for the next bytes, and for those that follow them within the `TICK`; there are none at the body's end.

        What has arrived is returned also when the connection is lost behind it, which the next call tells.

        Args:
            at_once: whether a reader waits for the first of them, as before the first token and after the last.

        Raises:
            aiohttp.ClientError: the connection was lost.
        """
        clock = asyncio.get_running_loop().time
        data = await self._content.readany()
        if data and not at_once and clock() < self._due:
            with suppress(TimeoutError, aiohttp.ClientError):
                async with asyncio.timeout_at(self._due):
                    while len(data) < ENOUGH and (more := await self._content.readany()):
                        data += more
        self._due = clock() + TICK
        return data


def joined(pieces: Sequence[Text | Reasoning]) -> Iterator[Text | Reasoning]:
    """Yield what was read as one, neighbours of a kind in one piece."""
    if len(pieces) < 2:
        yield from pieces
        return
    for kind, run in groupby(pieces, type):
        yield kind("".join([piece.text for piece in run]))
