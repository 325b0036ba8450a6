"""Search in a team's documents: one embedding, one query to Qdrant, within a budget of time."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec

from lib.breaker import Breaker, Call
from lib.errors import RetrievalUnavailable
from lib.rag import bm25
from lib.rag.embed import Embedder
from lib.rag.embedded import Embedded, Embedding
from lib.rag.schema import BM25, DENSE, chapter_slug
from lib.rag.wire import ServiceFailed, post
from lib.settings import Settings
from lib.telemetry.tracing import traced

CANDIDATES: Final = 100
"""How many passages each of the two searches hands to the fusion (`docs/decisions/retrieval.md`)."""

MAX_QUERY: Final = 2000
"""Characters of a query that are searched for: within the input of every embedding model we name."""

Mode = Literal["fused", "dense", "sparse"]

_log = logging.getLogger("parley.rag")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document. `start` and `end` are character offsets into the document's text.

    `headings` is the path from the document's first heading to the passage. `score` compares within one search only.
    """

    text: str
    title: str
    headings: tuple[str, ...]
    uri: str
    document_id: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Scope:
    """What to search in: one document, the sections under one heading, or everything of the team."""

    document_id: str | None = None
    chapter: str | None = None


class _Payload(msgspec.Struct):
    team_id: UUID
    text: str
    title: str
    headings: tuple[str, ...]
    uri: str
    document_id: str
    start: int
    end: int


class _Point(msgspec.Struct):
    score: float
    payload: _Payload


class _Result(msgspec.Struct):
    points: list[_Point]


class _Reply(msgspec.Struct):
    result: _Result


@dataclass(frozen=True, slots=True)
class Retriever:
    """Searches one collection. Safe to share, and to be shared.

    It remembers that a service is away, and the embeddings of what was searched for last.
    """

    query_url: str
    embedder: Embedder
    timeout: float
    api_key: str | None = field(default=None, repr=False)
    breaker: Breaker = field(default_factory=Breaker, repr=False)
    embedded: Embedded = field(default_factory=Embedded, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Retriever | None":
        """Return a retriever, or None when there is no QDRANT_URL or no way to embed."""
        embedder = Embedder.from_settings(settings)
        if settings.qdrant_url is None or embedder is None:
            return None
        collection = quote(settings.qdrant_collection, safe="")
        return cls(
            query_url=f"{settings.qdrant_url.rstrip('/')}/collections/{collection}/points/query",
            embedder=embedder,
            timeout=settings.retrieval_timeout,
            api_key=settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None,
        )

    @traced("retrieve")
    async def search(
        self, query: str, *, team_id: UUID, scope: Scope = Scope(), limit: int = 5, mode: Mode = "fused"
    ) -> tuple[Passage, ...]:
        """Return the team's passages that fit `query` best, best first, at most `limit`.

        Args:
            query: any text; of a very long one, its beginning and its end are searched for.
            team_id: whose documents. No other team's passage is ever returned.
            scope: where to search.
            limit: most passages returned, at least 1.
            mode: by meaning (`dense`), by words (`sparse`), or both, fused by reciprocal rank.

        Raises:
            RetrievalUnavailable: a service failed, or the time budget ran out, and the cause is logged; at once while
                the breaker is open.
        """
        call = self.breaker.enter()
        if call is None:
            raise RetrievalUnavailable(retry_after=self.breaker.retry_after)
        text = _condense(query)
        known = self._recall(text, team_id)
        with call:
            try:
                async with asyncio.timeout(self.timeout):
                    found = await self._search(text, known, team_id, scope, limit, mode)
            except TimeoutError:
                call.failed(waited=True)
                _log.warning("documents not searched: no answer within %g s", self.timeout)
                raise RetrievalUnavailable from None
            except ServiceFailed as failure:
                if failure.away:
                    call.failed(waited=False)
                else:
                    self.embedded.forget(self.embedder, text, team_id=team_id)
                    _answered(call, known)
                _log.warning("documents not searched: %s", failure)
                raise RetrievalUnavailable from failure
            if found is not None:
                _answered(call, known)
            return found or ()

    def _recall(self, text: str, team_id: UUID) -> Embedding | None:
        """Return the embedding of a text, if it is known. Whoever looks whether the services are back asks both."""
        return None if self.breaker.is_open else self.embedded.recall(self.embedder, text, team_id=team_id)

    async def _search(
        self, text: str, known: Embedding | None, team_id: UUID, scope: Scope, limit: int, mode: Mode
    ) -> tuple[Passage, ...] | None:
        """Return what is found; None where there is nothing to search for, and no service was asked."""
        searches: list[dict[str, Any]] = []
        sparse = bm25.query_vector(text) if mode != "dense" else None
        if sparse and sparse.indices:
            searches.append({"query": sparse, "using": BM25})
        if text and mode != "sparse":
            dense = known or await self.embedded.ask(self.embedder, text, team_id=team_id)
            searches.append({"query": dense, "using": DENSE})
        if not searches:
            return None
        return await self._query(_fused(searches, _filter(team_id, scope), limit), team_id)

    async def _query(self, body: dict[str, Any], team_id: UUID) -> tuple[Passage, ...]:
        reply = await post(
            self.query_url,
            {**body, "with_payload": list(_Payload.__struct_fields__)},
            service="vector store",
            headers={"api-key": self.api_key} if self.api_key else {},
            reply=_Reply,
        )
        if any(point.payload.team_id != team_id for point in reply.result.points):
            raise ServiceFailed("the vector store sent another team's passage")
        return tuple(_passage(point) for point in reply.result.points)


def _answered(call: Call, known: Embedding | None) -> None:
    """Say that the services answered: both, since of one that was not asked nobody knows how it is."""
    if known is None:
        call.answered()


def _condense(query: str) -> str:
    """Keep both ends of a query that is too long: whoever pastes a text asks before it or after it."""
    text = query.encode(errors="replace").decode().strip()
    return text if len(text) <= MAX_QUERY else f"{text[: MAX_QUERY // 2]}\n{text[-MAX_QUERY // 2 :]}"


def _filter(team_id: UUID, scope: Scope) -> dict[str, Any]:
    wanted = {"team_id": str(team_id)}
    if scope.document_id is not None:
        wanted["document_id"] = scope.document_id
    if scope.chapter is not None:
        wanted["chapters"] = chapter_slug(scope.chapter)
    return {"must": [{"key": key, "match": {"value": value}} for key, value in wanted.items()]}


def _fused(searches: list[dict[str, Any]], where: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return the body of a Query API call. Every search in it carries the filter itself.

    Ranks tie often, and where ties keep the order of the searches the first wins: words, which measured better alone.
    """
    if len(searches) == 1:
        return {**searches[0], "filter": where, "limit": limit}
    candidates = max(CANDIDATES, limit)
    prefetch = [{**search, "filter": where, "limit": candidates} for search in searches]
    return {"prefetch": prefetch, "query": {"fusion": "rrf"}, "limit": limit}


def _passage(point: _Point) -> Passage:
    payload = point.payload
    return Passage(
        text=payload.text,
        title=payload.title,
        headings=payload.headings,
        uri=payload.uri,
        document_id=payload.document_id,
        start=payload.start,
        end=payload.end,
        score=point.score,
    )
