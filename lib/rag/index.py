"""Bring a team's index in line with its documents, embedding only what is new.

A chunk's id is made of its document and of the text it is found by, so a chunk that did not change is recognised
wherever in its document it now stands, and a run that was cut short goes on where it stopped.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Final
from uuid import UUID, uuid5

from lib.rag import bm25
from lib.rag.chunk import Chunk
from lib.rag.collection import Collection, IngestionFailed, Payload, Point, searched_text
from lib.rag.embed import Embedder
from lib.rag.schema import chapter_slug, document_id
from lib.rag.wire import ServiceFailed

BATCH: Final = 64
"""Chunks embedded and stored at a time: what is lost, at most, when a run is cut short."""

DRIFT: Final = 0.1
"""How far the mean length of a team's chunks may move before stored BM25 weights are computed again."""


@dataclass(frozen=True, slots=True)
class Source:
    """A document as it is to be found: its `uri` within the team, its title, its chunks."""

    uri: str
    title: str
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an update did, in chunks: in the sources, embedded, found unchanged, removed."""

    chunks: int
    embedded: int
    unchanged: int
    removed: int


def update_index(
    collection: Collection,
    embedder: Embedder,
    sources: Iterable[Source],
    *,
    covers: Callable[[str], bool],
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Make the index hold exactly the chunks of `sources`, among the documents whose uri it `covers`.

    Args:
        collection: the team's.
        embedder: by which the whole collection is embedded.
        sources: every readable document of what is covered.
        covers: whether a uri belongs to this update; other documents of the team are left alone.
        progress: told how many new chunks of how many are embedded and stored.

    Raises:
        IngestionFailed: the embeddings failed, or the collection was made for another model.
    """
    collection.check_model(embedder.model)
    stored = collection.stored()
    points = {point.id: point for source in sources for point in _points(collection.team_id, source)}
    new = [point for key, point in points.items() if key not in stored]
    stale = {key for key, payload in stored.items() if key not in points and covers(payload["uri"])}
    kept = {key: payload for key, payload in stored.items() if key not in stale}
    avg_len = _mean_length(points, kept)

    if new:
        _add(collection, embedder, new, avg_len, progress)
    collection.describe([points[key] for key in kept if key in points and _differs(points[key].payload, kept[key])])
    collection.reweigh([key for key, payload in kept.items() if payload["avg_len"] != avg_len], avg_len)
    collection.remove(list(stale))
    return Outcome(len(points), len(new), len(points) - len(new), len(stale))


def _points(team_id: UUID, source: Source) -> Iterator[Point]:
    """Name the chunks of a document. Equal ones are told apart by how many came before."""
    document = document_id(team_id, source.uri)
    seen: Counter[str] = Counter()
    for chunk in source.chunks:
        payload: Payload = {
            "team_id": str(team_id),
            "document_id": document,
            "uri": source.uri,
            "title": source.title,
            "headings": list(chunk.headings),
            "chapters": [chapter_slug(heading) for heading in chunk.headings],
            "start": chunk.start,
            "end": chunk.end,
            "text": chunk.text,
        }
        searched = searched_text(payload)
        terms = bm25.terms(searched)
        yield Point(str(uuid5(UUID(document), f"{seen[searched]} {searched}")), payload | {"length": len(terms)}, terms)
        seen[searched] += 1


def _mean_length(points: Mapping[str, Point], kept: Mapping[str, Payload]) -> float:
    """Return the mean terms of a chunk that weights are for: that of what will be stored, unless it hardly moved."""
    lengths = {key: payload["length"] for key, payload in kept.items()}
    lengths |= {key: len(point.terms) for key, point in points.items()}
    mean = max(1.0, sum(lengths.values()) / max(1, len(lengths)))
    usual = Counter(payload["avg_len"] for payload in kept.values()).most_common(1)
    return usual[0][0] if usual and abs(mean / usual[0][0] - 1) <= DRIFT else mean


def _add(
    collection: Collection,
    embedder: Embedder,
    new: Sequence[Point],
    avg_len: float,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Embed and store, batch by batch."""
    done = 0
    with embedder.passages() as embed:
        for batch in batched(new, BATCH):
            try:
                vectors = embed([searched_text(point.payload) for point in batch])
            except ServiceFailed as failure:
                raise IngestionFailed(f"Embedding failed: {failure}.") from failure
            if not done:
                collection.fit(len(vectors[0]), embedder.model)
            collection.add(batch, vectors, avg_len)
            done += len(batch)
            if progress:
                progress(done, len(new))


def _differs(wanted: Payload, stored: Payload) -> bool:
    """Whether a stored payload has to be corrected. Its text is what it was: the id tells."""
    return any(stored.get(name) != value for name, value in wanted.items() if name != "text")
