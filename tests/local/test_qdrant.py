"""The front answers as local mode does, and as the server's clients expect."""

import random
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from lib.ids import DEFAULT_TEAM_ID
from lib.rag import bm25
from lib.rag.collection import Collection, Point
from lib.rag.retrieve import CANDIDATES, Mode
from local.child import running
from tests.doubles.embeddings_server import EmbeddingsServer
from tests.fixtures.retrieval import Library, retrieval_settings

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu")
QUESTION = "alpha gamma kappa"
DIMENSIONS = 16


Both = tuple[Collection, Collection]


@pytest.fixture(scope="module")
def front(qdrant_url: str) -> Generator[QdrantClient]:
    client = QdrantClient(url=qdrant_url, timeout=20, check_compatibility=False)
    yield client
    client.close()


@pytest.fixture(scope="module")
def local() -> Generator[QdrantClient]:
    """Local mode in this process, as its makers ship it."""
    client = QdrantClient(":memory:")
    yield client
    client.close()


@pytest.fixture(scope="module")
def embeddings() -> Generator[EmbeddingsServer]:
    with EmbeddingsServer() as server:
        yield server


@pytest.fixture(scope="module")
def both(front: QdrantClient, local: QdrantClient) -> Both:
    """The same 300 points in a collection behind the front and in local mode, for tests that only read."""
    return fill(front, local)


def fill(*clients: QdrantClient) -> Any:
    """Put the same 300 points into a new collection of each client, with ingestion's own code."""
    dice = random.Random(7)  # noqa: S311 - the same points each time
    lengths = [dice.randint(2, 12) for _ in range(300)]
    texts = [" ".join(dice.choices(WORDS, range(1, 13), k=length)) + f" only{i}" for i, length in enumerate(lengths)]
    vectors = [[dice.gauss() for _ in range(DIMENSIONS)] for _ in texts]
    made = tuple(Collection(client, f"test-{uuid4().hex}", DEFAULT_TEAM_ID) for client in clients)
    for collection in made:
        collection.fit(DIMENSIONS, "minilm-l6")
        collection.add([_point(i, text) for i, text in enumerate(texts)], vectors, 8.0)
    return made


def _point(number: int, text: str) -> Point:
    payload = {
        "team_id": str(DEFAULT_TEAM_ID),
        "document_id": f"document-{number % 5}",
        "chapters": [f"chapter-{number % 3}", "all"],
        "uri": f"{number}.md",
        "title": "",
        "headings": [],
        "text": text,
        "start": 0,
        "end": len(text),
    }
    return Point(str(UUID(int=number)), payload, bm25.terms(text))


def ask(collection: Collection, dense: list[float], mode: Mode, **more: Any) -> list[models.ScoredPoint]:
    """Ask through the official client what the retriever asks by itself."""
    vector = bm25.query_vector(QUESTION)
    sparse = models.SparseVector(indices=list(vector.indices), values=list(vector.values))
    ours = models.FieldCondition(key="team_id", match=models.MatchValue(value=str(collection.team_id)))
    where = models.Filter(must=[ours, *more.pop("narrowed", ())])
    searches = {"sparse": (sparse, "bm25"), "dense": (dense, "dense")}
    given: dict[str, Any] = {"with_payload": True, "limit": 20, **more}
    if mode != "fused":
        query, using = searches[mode]
        return collection.client.query_points(
            collection.name, query=query, using=using, query_filter=where, **given
        ).points
    prefetch = [
        models.Prefetch(query=query, using=using, filter=where, limit=CANDIDATES) for query, using in searches.values()
    ]
    fusion = models.FusionQuery(fusion=models.Fusion.RRF)
    return collection.client.query_points(collection.name, prefetch=prefetch, query=fusion, **given).points


@pytest.mark.parametrize("mode", ["dense", "sparse", "fused"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"limit": 150, "with_vectors": True},
        {"with_payload": ["uri"], "offset": 3},
        {"narrowed": [models.FieldCondition(key="chapters", match=models.MatchValue(value="chapter-1"))]},
    ],
    ids=["plain", "deep", "partly", "narrowed"],
)
def test_a_query_is_answered_as_by_local_mode(
    both: Both, embeddings: EmbeddingsServer, mode: Mode, more: dict[str, Any]
) -> None:
    dense = embeddings.embed(QUESTION)
    found, expected = (ask(collection, dense, mode, **more) for collection in both)
    assert len(found) > 10
    assert found == expected


@pytest.mark.parametrize("mode", ["dense", "sparse", "fused"])
async def test_the_retriever_finds_what_the_official_client_finds(
    both: Both, qdrant_url: str, embeddings: EmbeddingsServer, mode: Mode
) -> None:
    library = Library(retrieval_settings(qdrant_url, embeddings.base_url, qdrant_collection=both[0].name))
    found = await library.retriever.search(QUESTION, team_id=DEFAULT_TEAM_ID, limit=20, mode=mode)
    for collection in both:
        expected = ask(collection, embeddings.embed(QUESTION), mode)
        assert [(passage.uri, passage.score) for passage in found] == [
            ((point.payload or {})["uri"], pytest.approx(point.score, rel=1e-6)) for point in expected
        ]


def test_what_was_written_is_searched_at_once(
    front: QdrantClient, local: QdrantClient, embeddings: EmbeddingsServer
) -> None:
    pair: Both = fill(front, local)
    dense = embeddings.embed(QUESTION)
    changes: list[Callable[[Collection], object]] = [
        lambda collection: collection.remove([str(UUID(int=number)) for number in range(0, 300, 2)]),
        lambda collection: collection.reweigh([str(UUID(int=number)) for number in range(1, 300, 4)], 3.0),
        lambda collection: collection.describe([Point(str(UUID(int=1)), {"team_id": "another"}, [])]),
        lambda collection: collection.add([_point(500, QUESTION)], [dense], 8.0),
    ]
    for change in changes:
        answers = list[Any]()
        for collection in pair:
            change(collection)
            answers.append([ask(collection, dense, mode) for mode in ("dense", "sparse", "fused")])
        assert answers[0] == answers[1]


def test_points_are_counted_scrolled_and_retrieved_as_by_local_mode(both: Both) -> None:
    ids = [str(UUID(int=number)) for number in (3, 1, 999)]
    answers = [
        (
            collection.client.count(collection.name),
            collection.client.scroll(collection.name, limit=7, offset=str(UUID(int=5)), with_vectors=True),
            collection.client.retrieve(collection.name, ids, with_payload=["uri"], with_vectors=["bm25"]),
            collection.stored(),
        )
        for collection in both
    ]
    assert answers[0] == answers[1]


def test_a_collection_is_described_as_by_local_mode(both: Both) -> None:
    described = [collection.client.get_collection(collection.name) for collection in both]
    said = [
        (
            info.status,
            info.points_count,
            info.config.metadata,
            info.config.params.vectors,
            info.config.params.sparse_vectors,
        )
        for info in described
    ]
    assert said[0] == said[1]
    assert said[0][2] == {"embedding_model": "minilm-l6"}


def test_collections_are_made_listed_and_deleted(front: QdrantClient) -> None:
    name = f"made-{uuid4().hex}"
    assert front.create_collection(name, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    assert front.collection_exists(name)
    assert name in [collection.name for collection in front.get_collections().collections]
    front.upsert(name, models.Batch(ids=[1, 2], vectors=[[1, 0, 0, 0], [0, 1, 0, 0]], payloads=[{"n": 1}, {}]))
    front.set_payload(name, {"m": 2}, [1])
    assert [record.payload for record in front.retrieve(name, [1, 2])] == [{"n": 1, "m": 2}, {}]
    front.delete(name, models.FilterSelector(filter=models.Filter(must=[models.HasIdCondition(has_id=[1])])))
    assert front.count(name).count == 1
    assert front.delete_collection(name)
    assert not front.collection_exists(name)


def test_the_official_client_finds_a_server_of_its_own_version(front: QdrantClient, qdrant_url: str) -> None:
    assert front.info().title == "qdrant - vector search engine"
    for probe in ("healthz", "readyz", "livez"):
        assert httpx.get(f"{qdrant_url}/{probe}").status_code == 200


REFUSALS: list[tuple[str, str, Any, int]] = [
    ("GET", "/collections/none", None, 404),
    ("POST", "/collections/none/points/query", {"query": [0.1]}, 404),
    ("POST", "/collections/{}/points/query", {"query": {"fusion": "rrf"}}, 400),
    ("POST", "/collections/{}/points/query", {"limit": 0}, 400),
    ("POST", "/collections/{}/points/query", {"query": [0.1], "using": "none"}, 400),
    ("POST", "/collections/{}/points/query", {"unknown": 1}, 400),
    ("POST", "/collections/{}/points/query", {"query": [0.1, 0.2], "using": "dense"}, 400),
    ("POST", "/collections/{}/points/query", None, 400),
    ("PUT", "/collections/{}/points", {"points": [{"id": "no uuid", "vector": {}}]}, 400),
    ("PUT", "/collections/{}", {"vectors": {}}, 400),
    ("PUT", "/collections/a:b", {"vectors": {}}, 400),
    ("GET", "/nowhere", None, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSALS)
def test_a_refusal_has_the_shape_of_qdrants(
    both: Both, qdrant_url: str, method: str, path: str, body: Any, status: int
) -> None:
    answer = httpx.request(method, qdrant_url + path.format(both[0].name), json=body)
    assert answer.status_code == status
    if path != "/nowhere":
        assert answer.json()["status"]["error"]
        assert answer.json()["time"] >= 0


def test_the_official_client_knows_a_refusal(front: QdrantClient) -> None:
    with pytest.raises(UnexpectedResponse, match="404"):
        front.get_collection("none")


def test_what_was_written_outlasts_the_process(tmp_path: Path) -> None:
    with running("local.qdrant", str(tmp_path)) as url:
        client = QdrantClient(url=url, check_compatibility=False)
        client.create_collection("kept", vectors_config=models.VectorParams(size=1, distance=models.Distance.DOT))
        client.upsert("kept", [models.PointStruct(id=1, vector=[1.0])])
        client.close()
    reopened = QdrantClient(path=str(tmp_path))
    assert reopened.count("kept").count == 1
    reopened.close()
