"""What is secret, and what people write, is in no line that Parley logs, whatever happens to the request."""

from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from lib.settings import DEFAULT_RATE_LIMITS
from scripts.init_db import upgrade
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.fixtures.served import Served, served
from tests.fixtures.web import question
from tests.published import distinct

MARK = "mark5ecret"
KEY = f"sk-{MARK}-of-the-provider"
TEXT = f"The {MARK} that I tell nobody else, and ü € '\"\\ again {MARK}."
PASSWORD = f"{MARK}-password-1"
BODIES: tuple[Any, ...] = (
    question(TEXT),
    question(TEXT, metadata={"context": {"selected_text": TEXT}}),
    question(TEXT, metadata={"context": {MARK: TEXT}}),
    question(TEXT, user_id=MARK),
    {"email": f"{MARK}@example.com", "password": PASSWORD, "name": MARK},
    {"email": f"{MARK}@example.com", "password": f"wrong {PASSWORD}"},
    {"user_id": MARK, "query": TEXT, "response": TEXT},
    {MARK: MARK},
)
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": f"Bearer {MARK}.{MARK}.{MARK}"},
    {"Authorization": f"Basic {MARK}"},
    {"Cookie": f"access_token={MARK}; {MARK}={MARK}"},
    {"X-Internal-API-Key": MARK},
    {"X-Internal-API-Key": f"internal-{MARK}-0123456789012345"},
    {"X-Request-ID": f"<{MARK}>"},
)
NAMED = {"email": "ada@example.com", "password": PASSWORD, "full_name": f"Ada {MARK}"}

FAILING_PROVIDERS: tuple[Script, ...] = (
    Script(status=400, error={"error": {"message": f"Not good: {TEXT}"}}),
    Script(status=400, error={"error": {"message": f"Not good: {TEXT[:20]}..."}}),
    Script(status=401, error={"error": {"message": f"Incorrect API key provided: {KEY}", "code": KEY}}),
    Script(status=401, error={"error": {"message": f"Incorrect API key provided: {KEY[:14]}***"}}),
    Script(status=500, raw=f"<html>{TEXT} {KEY}</html>".encode()),
    Script(status=429, error={"error": f"{KEY} {TEXT}"}),
    Script(status=200, raw=f"data: {TEXT}\n\n".encode()),
    Script(error_at=1, error={"error": {"message": f"Halfway: {TEXT}"}}),
    Script(cut_at=1),
    Script(pieces=(f"{MARK} says the model",)),
)


def environment(database_url: str, provider: OpenAIServer) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": provider.base_url,
        "JWT_SECRET_KEY": f"jwt-{MARK}-01234567890123456789",
        "INTERNAL_API_KEY": f"internal-{MARK}-0123456789012345",
        "CRON_SECRET": f"cron-{MARK}-01234567890123456789",
        "RATE_LIMITS": ",".join(f"{name}=0" for name in DEFAULT_RATE_LIMITS),
    }


async def send_everything(parley: Served, provider: OpenAIServer) -> int:
    """Send each secret and text to each route, and each of the provider's failures; return how many requests."""
    sent = 0
    async with httpx.AsyncClient(base_url=parley.url, timeout=30, params={"token": MARK}) as client:

        async def send(method: str, path: str, **more: Any) -> None:
            nonlocal sent
            sent += 1
            await client.request(method, path, **more)

        for route in distinct():
            path = route.template.replace("{", f"{MARK}-{{")
            for body in BODIES:
                await send(route.method, route.path, json=body)
            for headers in HEADERS:
                await send(route.method, route.path, json=BODIES[0], headers=headers)
            await send(route.method, path, content=f"{{{TEXT}".encode(), headers={"Content-Type": "application/json"})
            await send("PATCH", f"{route.path}/{MARK}", content=TEXT.encode())
            await send("DELETE" if route.method != "DELETE" else "PUT", route.path)
        await send("POST", "/auth/register", json=NAMED)
        for script in FAILING_PROVIDERS:
            provider.play(script)
            for path in ("/api/v1/chat", "/api/v1/chat/stream"):
                await send("POST", path, json=question(TEXT), headers={"Referer": f"https://x/?{MARK}"})
    return sent


@pytest.fixture
def refusing_database_url(empty_database_url: str) -> str:
    """A database that quotes what it refuses: every message with the mark."""
    upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(f"ALTER TABLE messages ADD CONSTRAINT c CHECK (parts::text NOT LIKE '%{MARK}%')".encode())
        # What a tenant's statement may not see, Postgres does not quote to it; registering is no tenant's.
        connection.execute(f"ALTER TABLE users ADD CONSTRAINT c CHECK (full_name NOT LIKE '%{MARK}%')".encode())
    return empty_database_url


async def said_nothing(tmp_path: Path, database_url: str, provider: OpenAIServer) -> Served:
    """Send everything to a Parley on this database, and see that nothing marked was written. Return what was."""
    async with served(tmp_path, **environment(database_url, provider)) as parley:
        sent = await send_everything(parley, provider)
    assert parley.stdout == ""
    assert [line for line in parley.stderr.splitlines() if MARK in line.lower()] == []
    assert len(parley.requests) == sent
    assert all("request_id" in line for line in parley.requests)
    return parley


async def test_nothing_is_told_when_all_is_well(tmp_path: Path, database_url: str, openai_double: OpenAIServer) -> None:
    parley = await said_nothing(tmp_path, database_url, openai_double)
    assert {200, 401, 404, 405, 422} <= {line["status"] for line in parley.requests}
    assert {"complete", "failed"} <= {line.get("outcome") for line in parley.requests}
    assert any(line["logger"] == "parley.providers" for line in parley.lines)


async def test_nothing_is_told_when_the_database_quotes_what_it_refuses(
    tmp_path: Path, refusing_database_url: str, openai_double: OpenAIServer
) -> None:
    parley = await said_nothing(tmp_path, refusing_database_url, openai_double)
    assert 500 in {line["status"] for line in parley.requests}
    assert any("CheckViolation 23514" in line.get("exception", "") for line in parley.lines)


async def test_nothing_is_told_when_there_are_no_tables(
    tmp_path: Path, empty_database_url: str, openai_double: OpenAIServer
) -> None:
    parley = await said_nothing(tmp_path, empty_database_url, openai_double)
    assert {200, 503} <= {line["status"] for line in parley.requests}
    assert any("UndefinedTable 42P01" in line["message"] for line in parley.lines)


async def test_debugging_tells_it_so_that_these_tests_can_fail(
    tmp_path: Path, refusing_database_url: str, openai_double: OpenAIServer
) -> None:
    settings = environment(refusing_database_url, openai_double) | {"LOG_LEVEL": "DEBUG"}
    async with served(tmp_path, **settings) as parley, httpx.AsyncClient(base_url=parley.url) as client:
        assert (await client.post("/auth/register", json=NAMED)).status_code == 500
    assert MARK in parley.stderr
