"""The embeddings of the questions that a warm instance was asked last: one that is asked again costs no call.

Why these are kept and passages are not, and why each team has its own, is told in `docs/decisions/retrieval.md`.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from lib.rag.embed import Embedder

MOST: Final = 1_000
"""Embeddings that are kept at most, those that were used last."""
MOST_BYTES: Final = 8 * 1024 * 1024
"""Bytes that they may take together. One of 1,536 numbers takes some 19,000."""
KEPT: Final = 3600.0
"""Seconds for which one is kept: a server may come to have another model under the same name."""

Embedding = msgspec.Raw
"""A list of numbers as JSON: three times what packed ones take, and ready to be sent to the vector store."""


@dataclass(slots=True)
class _Call:
    """A call that is under way, and how many wait for it."""

    asking: "asyncio.Task[Embedding]"
    waiting: int = 0


class Embedded:
    """Embeddings of questions, by the team that asked them and the model that was asked. It keeps no question.

    Whoever asks what another of the team is asking at this moment waits for the same call. One that fails is not kept.
    """

    def __init__(
        self, *, most: int = MOST, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with none; `clock` tells the time in seconds."""
        self._most = most
        self._most_bytes = most_bytes
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[Embedding, float]] = OrderedDict()
        self._bytes = 0
        self._calls: dict[bytes, _Call] = {}

    def recall(self, embedder: Embedder, text: str, *, team_id: UUID) -> Embedding | None:
        """Return the embedding of a text that the team has asked lately; None where it is to be asked for."""
        key = _key(embedder, text, team_id)
        found = self._kept.get(key)
        if found is None:
            return None
        if self._clock() - found[1] > KEPT:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found[0]

    async def ask(self, embedder: Embedder, text: str, *, team_id: UUID) -> Embedding:
        """Ask for the embedding of a text, together with whoever is asking for the same, and keep it.

        The call goes on for as long as anybody waits for it.

        Raises:
            ServiceFailed: the endpoint could not be used.
        """
        key = _key(embedder, text, team_id)
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = _Call(asyncio.create_task(self._asked(key, embedder, text)))
        call.waiting += 1
        try:
            return await asyncio.shield(call.asking)
        finally:
            call.waiting -= 1
            if not call.waiting:
                del self._calls[key]
                call.asking.cancel()

    def forget(self, embedder: Embedder, text: str, *, team_id: UUID) -> None:
        """Keep an embedding no longer: the vector store did not take it."""
        key = _key(embedder, text, team_id)
        if key in self._kept:
            self._drop(key)

    async def _asked(self, key: bytes, embedder: Embedder, text: str) -> Embedding:
        embedding = msgspec.Raw(msgspec.json.encode(await embedder.embed_query(text)))
        if key in self._kept:
            self._drop(key)
        self._kept[key] = embedding, self._clock()
        self._bytes += len(embedding)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))
        return embedding

    def _drop(self, key: bytes) -> None:
        self._bytes -= len(self._kept.pop(key)[0])


def _key(embedder: Embedder, text: str, team_id: UUID) -> bytes:
    asked = f"{team_id} {embedder.model}\0{text}".encode()
    return hashlib.blake2b(asked, digest_size=32).digest()
