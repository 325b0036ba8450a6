"""The collection that is searched, as Qdrant describes it: one reader, for the health routes and for the doctor."""

from typing import Any, Final

import msgspec

from lib.health.fetch import MOST, Answer, fetch
from lib.health.probe import Unwell
from lib.rag.retrieve import Retriever
from lib.rag.schema import DENSE

VARIABLES: Final = "QDRANT_URL and QDRANT_API_KEY"


class _Vectors(msgspec.Struct):
    size: int


class _Params(msgspec.Struct):
    vectors: dict[str, _Vectors]


class _Config(msgspec.Struct):
    params: _Params
    metadata: dict[str, Any] | None = None


class Collection(msgspec.Struct):
    """A collection of ours. `status` is a colour: green, yellow or grey while it optimises, red when that failed."""

    status: str
    config: _Config

    @property
    def size(self) -> int:
        """Numbers in a vector."""
        return self.config.params.vectors[DENSE].size

    @property
    def made_by(self) -> str | None:
        """The model that made the vectors, where that was noted."""
        return (self.config.metadata or {}).get("embedding_model")


class _Reply(msgspec.Struct):
    result: Collection


async def read_collection(retriever: Retriever, *, seconds: float) -> tuple[Collection, float]:
    """Return the collection, and the milliseconds it took to ask.

    Raises:
        Unwell: the vector store cannot be used, or has no such collection of ours.
    """
    answer = await ask_collection(retriever, "", seconds=seconds)
    if answer.status == 404:
        raise Unwell("There is no such collection: ingest documents, or correct QDRANT_COLLECTION.")
    collection = decoded(answer, _Reply).result
    if DENSE not in collection.config.params.vectors:
        raise Unwell("The collection was not made by Parley: name another in QDRANT_COLLECTION.")
    return collection, answer.took_ms


async def ask_collection(retriever: Retriever, path: str, *, seconds: float, body: object = None) -> Answer:
    """Return the answer to a GET of `path` below the collection, or with a body to a POST. Raises as `fetch`."""
    headers = {"Content-Type": "application/json", **({"api-key": retriever.api_key} if retriever.api_key else {})}
    url = retriever.query_url.removesuffix("/points/query") + path
    sent = None if body is None else msgspec.json.encode(body)
    method = "GET" if body is None else "POST"
    return await fetch(url, VARIABLES, headers, seconds=seconds, most=MOST, method=method, data=sent)


def decoded[T](answer: Answer, kind: type[T]) -> T:
    """Return what Qdrant says.

    Raises:
        Unwell: it fails, or is no Qdrant.
    """
    if answer.status != 200:
        raise Unwell(f"It answers with {answer.status}: see QDRANT_URL, and the store's own log.")
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unwell("What answers is no Qdrant with a collection of Parley's: correct QDRANT_URL.") from None
