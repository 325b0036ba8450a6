"""What no client should send: a clean refusal in our own shape from every built function, and never a fault of ours."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx
import pytest

from tests.fixtures.web import INTERNAL_KEY
from tests.platforms.vercel.build import Output
from tests.platforms.vercel.conftest import Start
from tests.platforms.vercel.routes import example, function_of
from tests.test_bundle import TABLE

POSTS = (
    "/api/v1/auth/register",
    "/api/v1/auth/login",
    "/api/v1/conversations/internal-save",
    "/api/v1/chat",
    "/api/v1/chat/stream",
)
JSON = {"Content-Type": "application/json", "X-Internal-API-Key": INTERNAL_KEY}
MIB = 1024 * 1024


def assert_refused(response: httpx.Response, *statuses: int) -> None:
    assert response.status_code in statuses, response.text
    answer = response.json()
    assert answer.keys() == {"detail", "code", "request_id"}
    assert response.headers["x-request-id"] == answer["request_id"]


def as_they_are(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return headers for the wire, where a character is a byte."""
    return {name.encode(): value.encode("latin-1") for name, value in headers.items()}


async def in_pieces(body: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("source", TABLE)
async def test_a_path_that_a_function_does_not_know(warm: Start, source: str) -> None:
    path = example(source)
    unknown = path if path != source else f"{path}/no/such/thing"
    function = await warm(path)
    assert_refused(await function.client.get(unknown), 404)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "BREW"])
async def test_a_method_that_a_path_does_not_take(warm: Start, path: str, method: str) -> None:
    function = await warm(path)
    assert_refused(await function.client.request(method, path), 405)


async def test_a_health_route_takes_no_post(warm: Start) -> None:
    function = await warm("/health/")
    assert_refused(await function.client.post("/health/", content=b"{}"), 405)


BODIES = {
    "nothing": b"",
    "half of a JSON value": b'{"message": {"content": "Hi"',
    "a value that is no object": b"[1, 2, 3]",
    "binary": bytes(range(256)) * 16,
    "invalid UTF-8": b'{"message": {"content": "\xff\xfe"}}',
    "half of a surrogate pair": b'{"message": {"content": "\\ud800"}, "email": "\\ud800@example.com"}',
    "a zero byte": b'{"message": {"content": "a\\u0000b"}}',
    "deep nesting": b"[" * 100_000,
    "a number beyond all bounds": b'{"message": ' + b"9" * 5_000 + b"}",
    "NaN": b'{"message": NaN}',
    "wrong types": b'{"message": "Hi", "email": 7, "user_id": [], "password": null}',
    "a form": b"message=Hi&email=a%40example.com",
}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_body_that_is_not_what_was_asked_for(warm: Start, path: str, body: bytes) -> None:
    function = await warm(path)
    assert_refused(await function.client.post(path, content=body, headers=JSON), 400, 422)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("size", [1_000_001, 6 * MIB])
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
async def test_a_body_that_is_too_large(warm: Start, path: str, size: int, *, declared: bool) -> None:
    function = await warm(path)
    body = b'{"query": "' + b"a" * (size - 13) + b'"}'
    content = body if declared else in_pieces(body)
    assert_refused(await function.client.post(path, content=content, headers=JSON), 413)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data", "application/json; charset=\xff", ""]
)
async def test_a_content_type_that_is_not_json(warm: Start, path: str, kind: str) -> None:
    function = await warm(path)
    headers = as_they_are(JSON | {"Content-Type": kind})
    assert_refused(await function.client.post(path, content=b"7", headers=headers), 400, 415, 422)


HEADERS: dict[str, dict[str, str]] = {
    "a token that is no text": {"Authorization": "Bearer \xff\xfe\x80"},
    "a token that is none": {"Authorization": "Bearer " + "a" * 8_000},
    "another scheme": {"Authorization": "Basic \xc3\x28"},
    "a cookie that is no text": {"Cookie": "__Host-access_token=\xff; =;;; a"},
    "a key that is no text": {"X-Internal-API-Key": "\xff\xfe"},
    "a length that is none": {"X-Content-Length": "-1", "Expect": "417-nothing"},
    "an origin of its own": {"Origin": "null", "Access-Control-Request-Method": "\xff"},
    "a host that is none": {"Host": "exa mple/\xff"},
    "a proxy's lies": {"X-Forwarded-For": "\xff", "X-Forwarded-Proto": "gopher", "X-Vercel-Id": "\xff"},
}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_headers_that_make_no_sense(warm: Start, path: str, headers: dict[str, str]) -> None:
    function = await warm(path)
    sent = as_they_are({"Content-Type": "application/json"} | headers)
    answered = await function.client.post(path, content=b"[]", headers=sent)
    assert_refused(answered, 400, 401, 422)


@pytest.mark.parametrize("given", ["short", "a" * 129, "has a space in it", "\xff" * 16, "<script>alert(1)"])
async def test_a_request_id_that_is_none_is_replaced(warm: Start, given: str) -> None:
    function = await warm("/api/v1/chat")
    answered = await function.client.get("/api/v1/chat", headers=as_they_are({"X-Request-ID": given}))
    assert_refused(answered, 405)
    assert answered.headers["x-request-id"] != given


async def test_a_request_id_of_the_callers_is_kept(warm: Start) -> None:
    function = await warm("/api/v1/chat")
    answered = await function.client.get("/api/v1/chat", headers={"X-Request-ID": "their-own-id-1"})
    assert answered.json()["request_id"] == "their-own-id-1"


async def test_every_function_is_asked_here(output: Output) -> None:
    asked: set[Any] = {function_of(output.config, path) for path in (*POSTS, *map(example, TABLE))}
    assert asked == set(output.functions)
