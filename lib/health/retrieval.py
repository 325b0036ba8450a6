"""How the search in documents is: the vector store, and the embeddings that its queries need."""

import asyncio
from typing import Final

import msgspec

from lib.health.fetch import faulted, fetch
from lib.health.probe import LIMIT, Reading, Unwell, not_configured, timed
from lib.rag.retrieve import Retriever
from lib.rag.schema import DENSE
from lib.rag.wire import ServiceFailed

SLOW: Final = 1.0
QUERY: Final = "health"
"""What is embedded: one token."""


class _Vectors(msgspec.Struct):
    size: int


class _Params(msgspec.Struct):
    vectors: dict[str, _Vectors]


class _Config(msgspec.Struct):
    params: _Params


class _Collection(msgspec.Struct):
    status: str
    config: _Config


class _Reply(msgspec.Struct):
    result: _Collection


async def read_retrieval(retriever: Retriever | None) -> Reading:
    """Ask for the collection and for an embedding, at once; without both, nothing is found."""
    if retriever is None:
        return not_configured("QDRANT_URL or the embeddings are not set, so answers come without passages.")
    found: dict[str, int] = {}

    async def ask_store() -> Reading | None:
        collection = await _collection(retriever)
        found["stored"] = collection.config.params.vectors[DENSE].size
        # Qdrant's own colours: green, yellow while it optimises, grey when it waits to, red when it failed to.
        return Reading("degraded", detail="Qdrant calls the collection red.") if collection.status == "red" else None

    async def ask_embeddings() -> None:
        found["embedded"] = len(await _embed(retriever))

    store, embeddings = await asyncio.gather(timed(ask_store, slow=SLOW), timed(ask_embeddings, slow=SLOW))
    return _joined({"vector_store": store, "embeddings": embeddings}, found)


def _joined(parts: dict[str, Reading], found: dict[str, int]) -> Reading:
    readings = parts.values()
    slowest = max(reading.latency_ms or 0.0 for reading in readings)
    told = " ".join(f"{name}: {reading.detail}" for name, reading in parts.items() if reading.detail) or None
    if len(found) == 2 and found["stored"] != found["embedded"]:
        sizes = f"The collection holds vectors of {found['stored']}, and the embeddings have {found['embedded']}"
        return Reading("down", slowest, f"{sizes}: see EMBEDDING_MODEL.", parts=parts)
    statuses = {reading.status for reading in readings}
    status = "down" if "down" in statuses else "degraded" if "degraded" in statuses else "ok"
    return Reading(status, slowest, told, parts=parts)


async def _collection(retriever: Retriever) -> _Collection:
    headers = {"api-key": retriever.api_key} if retriever.api_key else {}
    status, body = await fetch(retriever.query_url.removesuffix("/points/query"), headers, seconds=LIMIT)
    if status == 404:
        raise Unwell("There is no such collection: see QDRANT_COLLECTION, and ingest documents.")
    if status != 200:
        raise Unwell(faulted(status, variables="QDRANT_URL and QDRANT_API_KEY"))
    try:
        collection = msgspec.json.decode(body, type=_Reply).result
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unwell("What answers there is no Qdrant with a collection of ours: see QDRANT_URL.") from None
    if DENSE not in collection.config.params.vectors:
        raise Unwell("The collection is none of ours: see QDRANT_COLLECTION.")
    return collection


async def _embed(retriever: Retriever) -> list[float]:
    try:
        async with asyncio.timeout(LIMIT):
            return await retriever.embedder.embed_query(QUERY)
    except TimeoutError:
        raise Unwell(f"There was no answer within {LIMIT:g} s.") from None
    except ServiceFailed as failure:
        said = str(failure)
        raise Unwell(f"{said[0].upper()}{said[1:]}.") from None
