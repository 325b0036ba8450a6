"""Limits over HTTP: who is counted, and what every answer says of it."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter

from lib.auth.limits import network_of
from lib.errors import InvalidCredentials
from lib.web.app import function
from lib.web.instance import Instance
from lib.web.limits import ThisGate, limited
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.web import Rows, make_settings, serving

router = APIRouter()


@router.get("/by-address", dependencies=[limited("refresh")])
async def by_address() -> dict[str, str]:
    return {"let": "in"}


@router.get("/by-account")
async def by_account(gate: ThisGate, account: str) -> None:
    await gate.admit("login", account=account)
    raise InvalidCredentials


@asynccontextmanager
async def limiting(database_url: str | None, **limits: int) -> AsyncGenerator[httpx.AsyncClient]:
    """Serve the routes above, to a client whose address is nobody else's, as Vercel says it."""
    instance = Instance(make_settings(database_url, "http://127.0.0.1:9", rate_limits=limits))
    async with serving(function(router, instance=instance)) as url, client_at(url, some_address()) as client:
        yield client


def some_address() -> str:
    number = uuid4().int
    return f"10.{number % 256}.{number // 256 % 256}.{number // 65536 % 256}"


def client_at(url: str, address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"x-vercel-forwarded-for": address}, timeout=30)


def said(response: httpx.Response) -> dict[str, Any]:
    names = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after")
    return {name: int(response.headers[name]) for name in names if name in response.headers}


@pytest.fixture(autouse=True)
def _on_vercel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERCEL", "1")


async def test_an_answer_says_what_is_left_and_a_refusal_when_to_come_back(database_url: str) -> None:
    async with limiting(database_url, refresh=2) as client:
        first, second, third = [await client.get("/by-address") for _ in range(3)]
    assert (first.status_code, said(first)) == (
        200,
        {"ratelimit-limit": 2, "ratelimit-remaining": 1, "ratelimit-reset": 60},
    )
    assert (second.status_code, said(second)["ratelimit-remaining"]) == (200, 0)
    assert (third.status_code, third.json()["code"]) == (429, "rate_limited")
    refused = said(third)
    assert 55 <= refused.pop("retry-after") == refused["ratelimit-reset"] <= 60
    assert (refused["ratelimit-limit"], refused["ratelimit-remaining"]) == (2, 0)


async def test_a_browser_of_another_origin_may_read_what_is_said(database_url: str) -> None:
    async with limiting(database_url, refresh=2) as client:
        response = await client.get("/by-address", headers={"Origin": "http://localhost:3000"})
    exposed = {name.strip().lower() for name in response.headers["access-control-expose-headers"].split(",")}
    assert {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"} <= exposed


async def test_an_error_of_the_route_says_what_is_left_too(database_url: str) -> None:
    async with limiting(database_url, login=5) as client:
        response = await client.get("/by-account", params={"account": uuid4().hex})
    assert (response.status_code, said(response)) == (
        401,
        {"ratelimit-limit": 5, "ratelimit-remaining": 4, "ratelimit-reset": 60},
    )


async def test_an_account_is_limited_from_wherever_it_is_tried_and_known_or_not(database_url: str) -> None:
    account = f"{uuid4().hex}@example.com"
    async with limiting(database_url, login=3) as client:
        statuses: list[int] = []
        for _ in range(5):
            response = await client.get(
                "/by-account", params={"account": account}, headers={"x-vercel-forwarded-for": some_address()}
            )
            statuses.append(response.status_code)
    assert statuses == [401, 401, 401, 429, 429]


async def test_an_address_is_limited_whichever_accounts_it_tries(database_url: str) -> None:
    async with limiting(database_url, login=3) as client:
        responses = [await client.get("/by-account", params={"account": uuid4().hex}) for _ in range(4)]
    assert [response.status_code for response in responses] == [401, 401, 401, 429]


async def test_twenty_at_once_on_two_instances_are_five(database_url: str) -> None:
    async with limiting(database_url, refresh=5) as one, limiting(database_url, refresh=5) as other:
        other.headers = one.headers
        answers = await asyncio.gather(*(client.get("/by-address") for client in [one, other] * 10))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 15


async def test_nobody_is_let_through_while_nobody_can_count(proxy: PostgresProxy) -> None:
    async with limiting(proxy.url, refresh=5, login=5) as client:
        proxy.refuse()
        for path in ("/by-address", "/by-account?account=somebody"):
            response = await client.get(path)
            assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")


async def test_zero_is_no_limit_and_needs_no_database() -> None:
    async with limiting(None, refresh=0) as client:
        response = await client.get("/by-address")
    assert (response.status_code, said(response)) == (200, {})


async def test_the_table_holds_no_address_of_a_person(database_url: str, rows: Rows) -> None:
    account = f"{uuid4().hex}@example.com"
    async with limiting(database_url, login=5) as client:
        await client.get("/by-account", params={"account": account})
    keys = {row["key"] for row in await rows("SELECT key FROM rate_limits")}
    assert f"login:account:{hashlib.sha256(account.encode()).hexdigest()}" in keys
    assert [key for key in keys if "@" in key] == []


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unknown", "unknown"),
        ("192.0.2.7:login", "unknown"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_is_counted_for_all_that_one_client_has(address: str, counted: str) -> None:
    assert network_of(address) == counted
