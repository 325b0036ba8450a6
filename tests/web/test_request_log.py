"""The line of each request, as an operator reads it."""

import asyncio
import json
import logging
from collections.abc import Generator
from contextvars import copy_context
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import pytest
from fastapi import APIRouter
from starlette.types import Receive, Scope, Send

from lib.telemetry.logs import JsonLine
from lib.web.app import function
from lib.web.instance import Instance
from lib.web.leaving import stop_all
from lib.web.middleware import RequestLog
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.web import INTERNAL_KEY, Deploy, Deployment, make_settings, question, serving


class Lines(logging.Handler):
    """The lines about requests, as they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLine())
        self._written: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self._written.put_nowait(json.loads(self.format(record)))

    async def next(self) -> dict[str, Any]:
        """Wait for the next line: a client may have read its answer before it is written."""
        async with asyncio.timeout(10):
            return await self._written.get()

    def none_yet(self) -> bool:
        return self._written.empty()


@pytest.fixture
def lines() -> Generator[Lines]:
    """What is said about requests from now on."""
    logger, handler = logging.getLogger("parley.requests"), Lines()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


async def test_a_turn_says_who_asked_what_it_took_and_how_it_ended(parley: Deployment, lines: Lines) -> None:
    user_id = await parley.sign_up()
    answer = await parley.ask()
    line = await lines.next()
    expected = {
        "level": "INFO",
        "message": "POST /api/v1/chat 200",
        "request_id": answer.headers["x-request-id"],
        "method": "POST",
        "route": "/api/v1/chat",
        "status": 200,
        "user_id": str(user_id),
        "message_id": answer.json()["response"]["message_id"],
        "outcome": "complete",
        "saved": True,
        "retrieval": "off",
        "model": "double-1",
        "input_tokens": 12,
        "output_tokens": 4,
    }
    assert line | expected == line
    assert 0 <= line["first_token_ms"] <= line["duration_ms"]
    assert UUID(line["team_id"])
    assert "error" not in line


async def test_a_stream_has_its_line_when_it_has_ended(
    parley: Deployment, openai_double: OpenAIServer, lines: Lines
) -> None:
    openai_double.play(Script(stall_at=1))
    async with parley.client.stream("POST", "/api/v1/chat/stream", json=question("Hi")) as response:
        arriving = response.aiter_bytes()
        await anext(arriving)
        assert lines.none_yet()
        openai_double.resume()
        async for _ in arriving:
            pass
    line = await lines.next()
    assert (line["route"], line["status"], line["outcome"]) == ("/api/v1/chat/stream", 200, "complete")


@pytest.mark.parametrize(("path", "status"), [("/api/v1/chat", 503), ("/api/v1/chat/stream", 200)])
async def test_a_client_that_leaves_leaves_a_line(
    deploy: Deploy, openai_double: OpenAIServer, lines: Lines, path: str, status: int
) -> None:
    parley = await deploy(disconnect="cancel")
    openai_double.play(Script(stall_at=1))
    asking = asyncio.create_task(parley.client.post(path, json=question("Hi")))
    await openai_double.next_call()
    asking.cancel()
    line = await lines.next()
    assert (line["status"], line["outcome"], line["saved"]) == (status, "interrupted", True)


async def test_a_shutdown_leaves_a_line(parley: Deployment, openai_double: OpenAIServer, lines: Lines) -> None:
    openai_double.play(Script(stall_at=1))
    async with parley.client.stream("POST", "/api/v1/chat/stream", json=question("Hi")) as response:
        await anext(response.aiter_bytes())
        await stop_all()
        assert (await lines.next())["outcome"] == "interrupted"


@pytest.mark.parametrize(("path", "status"), [("/api/v1/chat", 502), ("/api/v1/chat/stream", 200)])
async def test_a_turn_that_fails_says_why(
    parley: Deployment, openai_double: OpenAIServer, lines: Lines, path: str, status: int
) -> None:
    openai_double.play(Script(error_at=2))
    await parley.client.post(path, json=question("Hi"))
    line = await lines.next()
    assert (line["status"], line["outcome"], line["error"]) == (status, "failed", "provider_error")


async def test_a_turn_without_a_database_says_that_it_is_not_saved(
    deploy: Deploy, proxy: PostgresProxy, lines: Lines
) -> None:
    proxy.refuse()
    parley = await deploy(DATABASE_URL=proxy.url)
    await parley.ask()
    line = await lines.next()
    assert (line["outcome"], line["saved"]) == ("complete", False)


async def test_a_refusal_says_its_code_and_never_the_path_that_was_asked_for(parley: Deployment, lines: Lines) -> None:
    for method, path, route, status, error in (
        ("GET", "/api/v1/mine?x=1", "unmatched", 404, "not_found"),
        ("GET", "/api/v1/chat", "/api/v1/chat", 405, "method_not_allowed"),
        ("POST", "/api/v1/chat", "/api/v1/chat", 422, "invalid_request"),
        ("POST", "/api/v1/conversations/internal-save", "/api/v1/conversations/internal-save", 401, "unauthenticated"),
        ("PROPFIND", "/api/v1/chat", "/api/v1/chat", 405, "method_not_allowed"),
    ):
        await parley.client.request(method, path)
        line = await lines.next()
        assert (line["route"], line["status"], line["error"]) == (route, status, error)
        assert line["method"] == ("OTHER" if method == "PROPFIND" else method)


async def test_one_of_our_servers_is_told_by_whom_it_speaks_for(parley: Deployment, lines: Lines) -> None:
    user_id = await parley.sign_up()
    parley.client.cookies.clear()
    await parley.client.post(
        "/api/v1/chat", json=question("Hi", user_id=str(user_id)), headers={"X-Internal-API-Key": INTERNAL_KEY}
    )
    assert (await lines.next())["user_id"] == str(user_id)


async def test_a_guests_conversation_is_in_no_line(parley: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    answer = (await parley.ask()).json()["response"]
    await parley.ask(conversation_id=answer["conversation_id"])
    assert answer["conversation_id"] not in capsys.readouterr().err


async def test_a_request_that_dies_has_its_line_and_its_traceback_the_same_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    router = APIRouter()

    @router.get("/broken/{name}")
    async def _broken(name: str) -> None:
        raise RuntimeError(name)

    app = function(router, instance=Instance(make_settings(None, "http://127.0.0.1:1/v1")))
    async with serving(app) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(b"GET /broken/tell-nobody HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()
    written = capsys.readouterr().err
    fault, line = (json.loads(one) for one in written.splitlines() if '"logger":"parley' in one)
    assert (line["route"], line["status"], line["error"]) == ("/broken/{name}", 500, "internal_error")
    assert fault["request_id"] == line["request_id"]
    assert "RuntimeError" in fault["exception"]
    assert "tell-nobody" not in written


async def test_from_warning_on_a_request_gathers_and_says_nothing(
    deploy: Deploy, openai_double: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    parley = await deploy(log_level="WARNING")
    await parley.ask()
    assert capsys.readouterr().err == ""
    openai_double.play(Script(status=401))
    await parley.ask()
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["level"] for line in said} == {"WARNING"}
    assert all("request_id" in line for line in said)


@pytest.mark.parametrize(("level", "gathers"), [("INFO", True), ("WARNING", False)])
async def test_facts_are_gathered_only_where_they_will_be_said(deploy: Deploy, level: str, gathers: bool) -> None:
    await deploy(log_level=level)
    held: set[str] = set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        held.update(variable.name for variable in copy_context())

    scope: dict[str, Any] = {"type": "http", "method": "GET", "headers": []}
    await asyncio.create_task(RequestLog(app)(scope, AsyncMock(), AsyncMock()))
    assert "request_id" in held
    assert ("facts" in held) is gathers


async def test_a_route_is_named_as_it_is_published_wherever_its_router_is_mounted(
    parley: Deployment, lines: Lines
) -> None:
    for path, route in (
        ("/api/auth/me", "/api/auth/me"),
        ("/auth/sessions/x", "/auth/sessions/{session_id}"),
        ("/users/x", "/users/{user_id}"),
        ("/health/", "/health/"),
    ):
        await parley.client.delete(path) if "{" in route else await parley.client.get(path)
        assert (await lines.next())["route"] == route
