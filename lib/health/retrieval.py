"""How the search in documents is: the vector store, and the embeddings that its queries need."""

import asyncio
from dataclasses import replace
from typing import Final

from lib.health.collection import read_collection
from lib.health.probe import LIMIT, Reading, Unwell, joined, not_configured, timed
from lib.rag.retrieve import Retriever
from lib.rag.wire import ServiceFailed

SLOW: Final = 1.0
QUERY: Final = "health"
"""What is embedded: one token."""
_NOTHING: Final = "QDRANT_URL or the embeddings are not set, so answers come without passages."


async def read_vector_store(retriever: Retriever | None) -> Reading:
    """Ask for the collection alone, which costs nothing."""
    return await _store(retriever, {}) if retriever else not_configured(_NOTHING)


async def read_retrieval(retriever: Retriever | None) -> Reading:
    """Ask for the collection and for an embedding, which is paid for, at once; without both, nothing is found."""
    if retriever is None:
        return not_configured(_NOTHING)
    found: dict[str, int] = {}

    async def ask_embeddings() -> None:
        found["embedded"] = len(await _embed(retriever))

    store, embeddings = await asyncio.gather(_store(retriever, found), timed(ask_embeddings, slow=SLOW))
    return _judged({"vector_store": store, "embeddings": embeddings}, found)


async def _store(retriever: Retriever, found: dict[str, int]) -> Reading:
    async def ask() -> Reading | None:
        collection, _ = await read_collection(retriever, seconds=LIMIT)
        found["stored"] = collection.size
        return Reading("degraded", detail="Qdrant calls the collection red.") if collection.status == "red" else None

    return await timed(ask, slow=SLOW)


def _judged(parts: dict[str, Reading], found: dict[str, int]) -> Reading:
    statuses = {reading.status for reading in parts.values()}
    whole = joined(parts, "down" if "down" in statuses else "degraded" if "degraded" in statuses else "ok")
    if len(found) == 2 and found["stored"] != found["embedded"]:
        sizes = f"The collection holds vectors of {found['stored']}, and the embeddings have {found['embedded']}"
        return replace(whole, status="down", detail=f"{sizes}: see EMBEDDING_MODEL.")
    return whole


async def _embed(retriever: Retriever) -> list[float]:
    try:
        async with asyncio.timeout(LIMIT):
            return await retriever.embedder.embed_query(QUERY)
    except TimeoutError:
        raise Unwell(f"There was no answer within {LIMIT:g} s.") from None
    except ServiceFailed as failure:
        said = str(failure)
        raise Unwell(f"{said[0].upper()}{said[1:]}.") from None
