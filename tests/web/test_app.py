"""What every function shares: the shape of errors, request ids, origins."""

import asyncio
import logging

import pytest
from fastapi import APIRouter

from lib import errors
from lib.errors import ParleyError
from lib.web.app import STATUS, function
from lib.web.instance import Instance
from tests.fixtures.web import Deployment, make_settings, serving


async def test_an_unknown_path_and_a_wrong_method_have_our_shape(parley: Deployment) -> None:
    unknown = await parley.client.get("/api/v1/nothing")
    wrong = await parley.client.get("/api/v1/chat")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert set(wrong.json()) == {"detail", "code", "request_id"}


async def test_a_request_id_is_taken_over_if_it_is_one(parley: Deployment) -> None:
    given = await parley.client.get("/x", headers={"X-Request-ID": "my-request-0001"})
    forged = await parley.client.get("/x", headers={"X-Request-ID": "<script>"})
    assert given.headers["x-request-id"] == given.json()["request_id"] == "my-request-0001"
    assert forged.headers["x-request-id"] != "<script>"


async def test_only_a_named_origin_may_read_with_credentials(parley: Deployment) -> None:
    friend = await parley.client.get("/x", headers={"Origin": "http://localhost:3000"})
    stranger = await parley.client.get("/x", headers={"Origin": "http://evil.example"})
    assert friend.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert friend.headers["access-control-allow-credentials"] == "true"
    assert "access-control-allow-origin" not in stranger.headers


async def test_a_fault_of_ours_tells_its_request_id_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    router = APIRouter()

    @router.get("/broken")
    async def _broken() -> None:
        raise RuntimeError("postgresql://user:secret@host")

    app = function(router, instance=Instance(make_settings(None, "http://127.0.0.1:1/v1")))
    async with serving(app) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(b"GET /broken HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost:3000\r\nConnection: close\r\n\r\n")
        answer = (await reader.read()).decode()
        writer.close()
    assert answer.startswith("HTTP/1.1 500")
    assert "secret" not in answer
    assert "access-control-allow-origin: http://localhost:3000" in answer.lower()
    assert '"code":"internal_error"' in answer
    assert "secret" in caplog.text


def test_the_log_level_is_ours_also_where_the_platform_logs_already() -> None:
    ours = logging.getLogger("parley")
    before = ours.level
    function(instance=Instance(make_settings(None, "http://127.0.0.1:1/v1", log_level="ERROR")))
    assert ours.level == logging.ERROR
    ours.setLevel(before)


def test_every_error_has_a_code_of_its_own_and_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ParleyError)]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    for kind in kinds:
        assert kind is ParleyError or (STATUS.keys() - {ParleyError}) & set(kind.__mro__), kind
    assert all(errors.error_named(kind.code) is kind for kind in kinds)
    assert errors.error_named("unheard_of") is ParleyError
