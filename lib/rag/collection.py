"""A team's points in a Qdrant collection, as ingestion reads and writes them, through the official client."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from lib.rag import bm25
from lib.rag.schema import BM25, DENSE
from lib.settings import Settings

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models

PAGE: Final = 500
"""Points read or changed in one request."""

TIMEOUT: Final = 60
"""Seconds for one request."""

Payload = dict[str, Any]


class IngestionFailed(Exception):
    """A service failed or the collection does not fit. The message is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Point:
    """A chunk as it is stored: what is kept beside its vectors, and the terms of the text it is found by."""

    id: str
    payload: Payload
    terms: Sequence[str]


@dataclass(frozen=True, slots=True)
class Collection:
    """One team's part of a collection that is made on the first write."""

    client: "QdrantClient"
    name: str
    team_id: UUID

    def stored(self) -> dict[str, Payload]:
        """Return the payloads of the team's points by id, without their texts."""
        from qdrant_client import models

        if not self.client.collection_exists(self.name):
            return {}
        theirs = models.FieldCondition(key="team_id", match=models.MatchValue(value=str(self.team_id)))
        payloads: dict[str, Payload] = {}
        offset: Any = None
        while True:
            page, offset = self.client.scroll(
                self.name,
                scroll_filter=models.Filter(must=[theirs]),
                with_payload=models.PayloadSelectorExclude(exclude=["text"]),
                limit=PAGE,
                offset=offset,
            )
            payloads |= {str(record.id): record.payload or {} for record in page}
            if offset is None:
                return payloads

    def check_model(self, model: str) -> None:
        """See that what is stored was embedded by `model`. A collection that does not say is taken on trust.

        Raises:
            IngestionFailed: another model made it.
        """
        if not self.client.collection_exists(self.name):
            return
        made_by = (self.client.get_collection(self.name).config.metadata or {}).get("embedding_model", model)
        if made_by != model:
            raise self._misfit(f"the model {made_by}", model)

    def fit(self, dimensions: int, model: str) -> None:
        """Make the collection for vectors of this size by this model, or see that it is for them.

        Raises:
            IngestionFailed: it is for others.
        """
        if not self.client.collection_exists(self.name):
            return self._create(dimensions, model)
        vectors = self.client.get_collection(self.name).config.params.vectors
        dense = vectors.get(DENSE) if isinstance(vectors, dict) else None
        if dense is None or dense.size != dimensions:
            made_for = f"vectors of {dense.size} dimensions" if dense else "something else"
            raise self._misfit(made_for, f"the {dimensions} of {model}")
        return None

    def _misfit(self, made_for: str, asked: str) -> IngestionFailed:
        return IngestionFailed(
            f"The collection {self.name!r} was made for {made_for}, not for {asked}: set EMBEDDING_MODEL back, or name"
            " a new collection in QDRANT_COLLECTION and ingest again."
        )

    def _create(self, dimensions: int, model: str) -> None:
        """Make the collection for many tenants: a graph for each, none over all, since every search names its team.

        https://qdrant.tech/documentation/guides/multitenancy/
        """
        from qdrant_client import models

        self.client.create_collection(
            self.name,
            vectors_config={DENSE: models.VectorParams(size=dimensions, distance=models.Distance.COSINE)},
            sparse_vectors_config={BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            hnsw_config=models.HnswConfigDiff(payload_m=16, m=0),
            metadata={"embedding_model": model},
        )
        tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
        self.client.create_payload_index(self.name, "team_id", tenant)
        for narrowing in ("document_id", "chapters"):
            self.client.create_payload_index(self.name, narrowing, models.PayloadSchemaType.KEYWORD)

    def add(self, points: Sequence[Point], vectors: Sequence[list[float]], avg_len: float) -> None:
        """Store points with their embeddings and with BM25 weights for a corpus of this mean length."""
        from qdrant_client import models

        structs = [
            models.PointStruct(
                id=point.id,
                vector={DENSE: vector, BM25: _sparse(point.terms, avg_len)},
                payload={**point.payload, "avg_len": avg_len},
            )
            for point, vector in zip(points, vectors, strict=True)
        ]
        self.client.upsert(self.name, structs, wait=True)

    def describe(self, points: Sequence[Point]) -> None:
        """Correct what is stored beside the vectors of points that exist."""
        from qdrant_client import models

        for batch in batched(points, PAGE):
            self.client.batch_update_points(
                self.name,
                [
                    models.SetPayloadOperation(set_payload=models.SetPayload(payload=point.payload, points=[point.id]))
                    for point in batch
                ],
                wait=True,
            )

    def reweigh(self, ids: Sequence[str], avg_len: float) -> None:
        """Compute BM25 weights again for a corpus of another mean length, from the texts stored with them."""
        from qdrant_client import models

        for batch in batched(ids, PAGE):
            records = self.client.retrieve(self.name, list(batch), with_payload=["title", "headings", "text"])
            vectors = [
                models.PointVectors(id=record.id, vector={BM25: _sparse(_terms(record.payload or {}), avg_len)})
                for record in records
            ]
            weighed = models.SetPayload(payload={"avg_len": avg_len}, points=list(batch))
            self.client.batch_update_points(
                self.name,
                [
                    models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=vectors)),
                    models.SetPayloadOperation(set_payload=weighed),
                ],
                wait=True,
            )

    def remove(self, ids: Sequence[str]) -> None:
        """Delete points."""
        from qdrant_client import models

        for batch in batched(ids, PAGE):
            self.client.delete(self.name, models.PointIdsList(points=list(batch)), wait=True)


def searched_text(payload: Mapping[str, Any]) -> str:
    """Return what a chunk is found by: its title and headings, which its own words often leave out, and its text."""
    title, headings = payload["title"], payload["headings"]
    return "\n".join((title, *(heading for heading in headings if heading != title), payload["text"]))


def _terms(payload: Mapping[str, Any]) -> list[str]:
    return bm25.terms(searched_text(payload))


def _sparse(terms: Sequence[str], avg_len: float) -> "models.SparseVector":
    from qdrant_client import models

    vector = bm25.document_vector(terms, avg_len)
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


@contextmanager
def open_collection(settings: Settings, team_id: UUID) -> Generator[Collection]:
    """Open the configured collection for a team's ingestion, and close the connection afterwards.

    Raises:
        IngestionFailed: there is no QDRANT_URL; and in place of whatever the client raises inside.
    """
    from qdrant_client import QdrantClient
    from qdrant_client.common.client_exceptions import QdrantException
    from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

    if settings.qdrant_url is None:
        raise IngestionFailed("There is no vector store: set QDRANT_URL, or start one with `make dev`.")
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    try:  # without `port` the client would take 6333 where the URL, and so the search, means the scheme's own
        client = QdrantClient(settings.qdrant_url, port=None, api_key=key, timeout=TIMEOUT, check_compatibility=False)
    except ValueError as error:
        raise IngestionFailed(f"QDRANT_URL cannot be used: {error}.") from error
    try:
        yield Collection(client, settings.qdrant_collection, team_id)
    except UnexpectedResponse as error:
        raise IngestionFailed(f"The vector store answered with status {error.status_code}.") from error
    except (ApiException, QdrantException) as error:
        raise IngestionFailed(f"The vector store could not be used: {error}.") from error
    finally:
        client.close()
