"""Qdrant's REST API over qdrant-client's local mode, for a laptop and the tests.

Local mode is Qdrant in Python, kept in step with the server by its makers; it lives in one process at a time. This
front gives it a process of its own and the server's paths, bodies and error shape, for what ingestion and search use.
Bodies are read by qdrant-client's own models, so what is accepted here is what the server's schema accepts.
"""

import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import msgspec
from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError
from qdrant_client import QdrantClient, models

from local import qdrant_speed
from local.part import serve

MAX_BODY: Final = 64 * 1024 * 1024

type Action = Callable[[QdrantClient, web.Request, Any], object]


def _collection(request: web.Request) -> str:
    return request.match_info["collection"]


def _list(client: QdrantClient, _: web.Request, __: None) -> object:
    return client.get_collections()


def _create(client: QdrantClient, request: web.Request, body: models.CreateCollection) -> object:
    return client.create_collection(
        _collection(request),
        vectors_config=body.vectors,
        sparse_vectors_config=body.sparse_vectors,
        metadata=body.metadata,
    )


def _describe(client: QdrantClient, request: web.Request, _: None) -> object:
    return client.get_collection(_collection(request))


def _delete_collection(client: QdrantClient, request: web.Request, _: None) -> object:
    return client.delete_collection(_collection(request))


def _exists(client: QdrantClient, request: web.Request, _: None) -> object:
    return models.CollectionExistence(exists=client.collection_exists(_collection(request)))


def _index(client: QdrantClient, request: web.Request, body: models.CreateFieldIndex) -> object:
    return client.create_payload_index(_collection(request), body.field_name, body.field_schema)


def _upsert(client: QdrantClient, request: web.Request, body: models.PointInsertOperations) -> object:
    points = body.points if isinstance(body, models.PointsList) else body.batch
    return client.upsert(_collection(request), points)


def _update(client: QdrantClient, request: web.Request, body: models.UpdateOperations) -> object:
    return client.batch_update_points(_collection(request), body.operations)


def _set_payload(client: QdrantClient, request: web.Request, body: models.SetPayload) -> object:
    return client.batch_update_points(_collection(request), [models.SetPayloadOperation(set_payload=body)])[0]


def _delete(client: QdrantClient, request: web.Request, body: models.PointsSelector) -> object:
    return client.delete(_collection(request), body)


def _retrieve(client: QdrantClient, request: web.Request, body: models.PointRequest) -> object:
    return client.retrieve(
        _collection(request),
        body.ids,
        with_payload=True if body.with_payload is None else body.with_payload,
        with_vectors=body.with_vector or False,
    )


def _scroll(client: QdrantClient, request: web.Request, body: models.ScrollRequest) -> object:
    points, following = client.scroll(
        _collection(request),
        scroll_filter=body.filter,
        limit=10 if body.limit is None else body.limit,
        offset=body.offset,
        order_by=body.order_by,
        with_payload=True if body.with_payload is None else body.with_payload,
        with_vectors=body.with_vector or False,
    )
    return {"points": points, "next_page_offset": following}


def _count(client: QdrantClient, request: web.Request, body: models.CountRequest) -> object:
    return client.count(_collection(request), count_filter=body.filter)


def _query(client: QdrantClient, request: web.Request, body: models.QueryRequest) -> object:
    return client.query_points(
        _collection(request),
        query=body.query,
        using=body.using,
        prefetch=body.prefetch,
        query_filter=body.filter,
        search_params=body.params,
        limit=10 if body.limit is None else body.limit,
        offset=body.offset,
        with_payload=body.with_payload or False,
        with_vectors=body.with_vector or False,
        score_threshold=body.score_threshold,
    )


_ROUTES: Final[tuple[tuple[str, str, Action, Any], ...]] = (
    ("GET", "/collections", _list, None),
    ("PUT", "/collections/{collection}", _create, models.CreateCollection),
    ("GET", "/collections/{collection}", _describe, None),
    ("DELETE", "/collections/{collection}", _delete_collection, None),
    ("GET", "/collections/{collection}/exists", _exists, None),
    ("PUT", "/collections/{collection}/index", _index, models.CreateFieldIndex),
    ("PUT", "/collections/{collection}/points", _upsert, models.PointInsertOperations),
    ("POST", "/collections/{collection}/points", _retrieve, models.PointRequest),
    ("POST", "/collections/{collection}/points/batch", _update, models.UpdateOperations),
    ("POST", "/collections/{collection}/points/payload", _set_payload, models.SetPayload),
    ("POST", "/collections/{collection}/points/delete", _delete, models.PointsSelector),
    ("POST", "/collections/{collection}/points/scroll", _scroll, models.ScrollRequest),
    ("POST", "/collections/{collection}/points/count", _count, models.CountRequest),
    ("POST", "/collections/{collection}/points/query", _query, models.QueryRequest),
)


_READS: Final = frozenset({_list, _describe, _exists, _retrieve, _scroll, _count, _query})


@cache
def _reader(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _handler(client: QdrantClient, action: Action, model: Any) -> Callable[[web.Request], Any]:
    """Make an aiohttp handler of an action. It holds the loop while it works: local mode is not for two at once."""

    async def handle(request: web.Request) -> web.Response:
        started = time.perf_counter()
        data = await request.read()
        try:
            result = action(client, request, _reader(model).validate_json(data) if model else None)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            return _answer(started, 400, error=f"Format error in JSON body: {fault['msg']} at {fault['loc']}")
        except ValueError as error:
            status = 404 if str(error) == f"Collection {_collection(request)} not found" else 400
            return _answer(started, status, error=str(error))
        finally:
            if action not in _READS:
                qdrant_speed.forget()
        return _answer(started, 200, result=result)

    return handle


def _answer(started: float, status: int, *, result: object = None, error: str | None = None) -> web.Response:
    outcome: dict[str, object] = {"result": result, "status": "ok"} if error is None else {"status": {"error": error}}
    data = msgspec.json.encode({**outcome, "time": time.perf_counter() - started}, enc_hook=_plain)
    return web.Response(body=data, status=status, content_type="application/json")


def _plain(value: object) -> object:
    """Give msgspec the fields of a model as they are. `model_dump` would check them all again."""
    if isinstance(value, BaseModel):
        return {name: field for name, field in value.__dict__.items() if field is not None}
    raise NotImplementedError(f"{type(value)} does not go into JSON")


def make_app(path: str) -> web.Application:
    """Return the application over the collections kept in the folder `path`, which is made when absent."""
    warnings.filterwarnings("ignore", message="Payload indexes have no effect")
    qdrant_speed.install()
    client = QdrantClient(path=path)

    async def root(_: web.Request) -> web.Response:
        return web.json_response({"title": "qdrant - vector search engine", "version": version("qdrant-client")})

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="healthz check passed")

    async def close(_: web.Application) -> None:
        client.close()

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_get("/", root)
    for probe in ("/healthz", "/readyz", "/livez"):
        app.router.add_get(probe, health)
    for method, route, action, model in _ROUTES:
        app.router.add_route(method, route, _handler(client, action, model))
    app.on_cleanup.append(close)
    return app


if __name__ == "__main__":
    serve(make_app(sys.argv[1]))
