"""The search: the vector store, the embeddings, and whether one is made for the other."""

import asyncio
import time
from typing import Final

import msgspec

from lib.health.collection import ask_collection, decoded, read_collection
from lib.health.probe import Unwell
from lib.ids import DEFAULT_TEAM_ID
from lib.rag.embed import Embedder
from lib.rag.retrieve import Retriever
from lib.rag.wire import ServiceFailed
from lib.settings import Settings
from scripts.checkup.finding import PATIENCE, Finding, bounded

WORD: Final = "doctor"


class _Count(msgspec.Struct):
    count: int


class _CountReply(msgspec.Struct):
    result: _Count


async def check_search(settings: Settings) -> list[Finding]:
    """Return what there is to say of the vector store and of the embeddings, which are asked at once."""
    if settings.qdrant_url is None:
        return [Finding("vector store", "warning", "QDRANT_URL is not set, so answers come without passages.")]
    retriever = Retriever.from_settings(settings)
    if retriever is None:
        said = (
            "Nothing makes embeddings, so nothing is found: set EMBEDDING_BASE_URL, OPENAI_API_KEY or GEMINI_API_KEY."
        )
        return [Finding("embeddings", "failed", said)]
    sizes: dict[str, int] = {}
    found = await asyncio.gather(
        bounded("vector store", _store(retriever, settings.qdrant_collection, sizes)),
        bounded("embeddings", _embeddings(retriever.embedder, sizes)),
    )
    return [*found[0], *found[1], *_fit(sizes, settings.qdrant_collection)]


async def _store(retriever: Retriever, name: str, sizes: dict[str, int]) -> list[Finding]:
    collection, took_ms = await read_collection(retriever, seconds=PATIENCE)
    sizes["stored"] = collection.size
    findings = [Finding("vector store", "ok", f"collection {name!r}, {took_ms:.0f} ms")]
    model = retriever.embedder.model
    made_by = collection.made_by or model
    if made_by != model:
        said = f"The documents were embedded by {made_by}, and EMBEDDING_MODEL is {model}: set it back, or ingest anew."
        findings.append(Finding("vector store: model", "failed", said))
    return [*findings, await _points(retriever)]


async def _points(retriever: Retriever) -> Finding:
    theirs = {"must": [{"key": "team_id", "match": {"value": str(DEFAULT_TEAM_ID)}}]}
    asked = {"filter": theirs, "exact": True}
    answer = await ask_collection(retriever, "/points/count", seconds=PATIENCE, body=asked)
    count = decoded(answer, _CountReply).result.count
    if count:
        return Finding("vector store: points", "ok", f"{count} of the default team")
    return Finding("vector store: points", "warning", "The default team has none: ingest its documents.")


async def _embeddings(embedder: Embedder, sizes: dict[str, int]) -> list[Finding]:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            sizes["embedded"] = len(await embedder.embed_query(WORD))
    except ServiceFailed as failure:
        said = f"A word could not be embedded, {failure}: see EMBEDDING_BASE_URL, EMBEDDING_MODEL and the key."
        raise Unwell(said) from None
    took = (time.perf_counter() - began) * 1000
    return [Finding("embeddings", "ok", f"{embedder.model} gives {sizes['embedded']} dimensions, {took:.0f} ms")]


def _fit(sizes: dict[str, int], name: str) -> list[Finding]:
    if len(sizes) < 2:
        return []
    if sizes["stored"] == sizes["embedded"]:
        return [Finding("vector size", "ok", f"{sizes['stored']}, stored and embedded")]
    said = f"The collection {name!r} holds vectors of {sizes['stored']}, and the model gives {sizes['embedded']}"
    return [Finding("vector size", "failed", f"{said}: set EMBEDDING_MODEL back, or ingest into a new collection.")]
