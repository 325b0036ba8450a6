"""The search: the vector store, the embeddings, and whether one is made for the other."""

import asyncio
import time
from typing import Any, Final
from urllib.parse import quote

import msgspec

from lib.ids import DEFAULT_TEAM_ID
from lib.rag.embed import Embedder
from lib.rag.schema import DENSE
from lib.rag.wire import ServiceFailed
from lib.settings import Settings
from scripts.checkup.fetch import PATIENCE, fetch
from scripts.checkup.finding import CheckFailed, Finding, bounded

WORD: Final = "doctor"
VARIABLES: Final = "QDRANT_URL and QDRANT_API_KEY"


class _Vectors(msgspec.Struct):
    size: int


class _Params(msgspec.Struct):
    vectors: dict[str, _Vectors]


class _Config(msgspec.Struct):
    params: _Params
    metadata: dict[str, Any] | None = None


class _Collection(msgspec.Struct):
    config: _Config


class _CollectionReply(msgspec.Struct):
    result: _Collection


class _Count(msgspec.Struct):
    count: int


class _CountReply(msgspec.Struct):
    result: _Count


async def check_search(settings: Settings) -> list[Finding]:
    """Return what there is to say of the vector store and of the embeddings, which are asked at once."""
    if settings.qdrant_url is None:
        return [Finding("vector store", "warning", "QDRANT_URL is not set, so answers come without passages.")]
    embedder = Embedder.from_settings(settings)
    if embedder is None:
        said = (
            "Nothing makes embeddings, so nothing is found: set EMBEDDING_BASE_URL, OPENAI_API_KEY or GEMINI_API_KEY."
        )
        return [Finding("embeddings", "failed", said)]
    sizes: dict[str, int] = {}
    found = await asyncio.gather(
        bounded("vector store", _store(settings, settings.qdrant_url, embedder.model, sizes)),
        bounded("embeddings", _embeddings(embedder, sizes)),
    )
    return [*found[0], *found[1], *_fit(sizes, settings.qdrant_collection)]


async def _store(settings: Settings, url: str, model: str, sizes: dict[str, int]) -> list[Finding]:
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    headers = {"Content-Type": "application/json", **({"api-key": key} if key else {})}
    name = settings.qdrant_collection
    base = f"{url.rstrip('/')}/collections/{quote(name, safe='')}"
    answer = await fetch(base, VARIABLES, headers)
    if answer.status == 404:
        raise CheckFailed(f"There is no collection {name!r}: ingest documents, or correct QDRANT_COLLECTION.")
    if answer.status != 200:
        raise CheckFailed(f"It answers with {answer.status}: see QDRANT_URL, and the store's own log.")
    config = _decoded(answer.body, _CollectionReply).result.config
    if DENSE not in config.params.vectors:
        raise CheckFailed(f"The collection {name!r} was not made by Parley: name another in QDRANT_COLLECTION.")
    sizes["stored"] = config.params.vectors[DENSE].size
    findings = [Finding("vector store", "ok", f"collection {name!r}, {answer.took_ms:.0f} ms")]
    made_by = (config.metadata or {}).get("embedding_model", model)
    if made_by != model:
        said = f"The documents were embedded by {made_by}, and EMBEDDING_MODEL is {model}: set it back, or ingest anew."
        findings.append(Finding("vector store: model", "failed", said))
    return [*findings, await _points(base, headers)]


async def _points(base: str, headers: dict[str, str]) -> Finding:
    theirs = {"must": [{"key": "team_id", "match": {"value": str(DEFAULT_TEAM_ID)}}]}
    asked = msgspec.json.encode({"filter": theirs, "exact": True})
    answer = await fetch(f"{base}/points/count", VARIABLES, headers, method="POST", data=asked)
    if answer.status != 200:
        raise CheckFailed(f"It answers with {answer.status} when its points are counted: see the store's own log.")
    count = _decoded(answer.body, _CountReply).result.count
    if count:
        return Finding("vector store: points", "ok", f"{count} of the default team")
    return Finding("vector store: points", "warning", "The default team has none: ingest its documents.")


def _decoded[T](body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise CheckFailed("What answers is no Qdrant with a collection of Parley's: correct QDRANT_URL.") from None


async def _embeddings(embedder: Embedder, sizes: dict[str, int]) -> list[Finding]:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            sizes["embedded"] = len(await embedder.embed_query(WORD))
    except ServiceFailed as failure:
        said = f"A word could not be embedded, {failure}: see EMBEDDING_BASE_URL, EMBEDDING_MODEL and the key."
        raise CheckFailed(said) from None
    took = (time.perf_counter() - began) * 1000
    return [Finding("embeddings", "ok", f"{embedder.model} gives {sizes['embedded']} dimensions, {took:.0f} ms")]


def _fit(sizes: dict[str, int], name: str) -> list[Finding]:
    if len(sizes) < 2:
        return []
    if sizes["stored"] == sizes["embedded"]:
        return [Finding("vector size", "ok", f"{sizes['stored']}, stored and embedded")]
    said = f"The collection {name!r} holds vectors of {sizes['stored']}, and the model gives {sizes['embedded']}"
    return [Finding("vector size", "failed", f"{said}: set EMBEDDING_MODEL back, or ingest into a new collection.")]
