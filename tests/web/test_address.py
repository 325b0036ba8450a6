"""The client's address is the platform's word, wherever Parley runs; what a client says of itself changes nothing."""

import asyncio
import json
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request

from lib.web.address import EDGE_KEY_HEADER, UNKNOWN, VIEWER_HEADER, client_address
from lib.web.app import function
from lib.web.aws import on_lambda
from lib.web.instance import Instance
from tests.doubles.gateways import GATEWAYS, Event, Sent, received
from tests.fixtures.web import make_settings, serving

EDGE_KEY = "edge-key-of-the-tests-0123456789abcdef"
ELSEWHERE = "203.0.113.66"
BY_A_STRANGER = {
    "X-Forwarded-For": ELSEWHERE,
    "X-Real-IP": ELSEWHERE,
    "Forwarded": f"for={ELSEWHERE}",
    "True-Client-IP": ELSEWHERE,
    "CF-Connecting-IP": ELSEWHERE,
    "CloudFront-Viewer-Address": f"{ELSEWHERE}:1234",
    "X-Vercel-Forwarded-For": ELSEWHERE,
    "X-Amzn-Request-Context": json.dumps({"http": {"sourceIp": ELSEWHERE}}),
    EDGE_KEY_HEADER: "edge-key-of-a-stranger",
    VIEWER_HEADER: ELSEWHERE,
}
"""Every header that some platform or proxy says an address in."""

router = APIRouter()


@router.get("/address")
async def address(request: Request) -> str:
    return client_address(request.scope)


def instance(**settings: Any) -> Instance:
    return Instance(make_settings(None, "http://127.0.0.1:9", **settings))


Headers = dict[str, str] | list[tuple[str, str]]


async def seen(*requests: Headers, **settings: Any) -> list[str]:
    """Return the addresses that a server sees of a client on loopback which sends these requests."""
    app = function(router, instance=instance(**settings))
    async with serving(app) as url, httpx.AsyncClient(base_url=url, verify=False) as client:  # noqa: S501 - no TLS
        return [(await client.get("/address", headers=headers)).json() for headers in requests]


def each(*but: str) -> list[dict[str, str]]:
    """Return a request with each header alone, and one with all of them."""
    rest = {name: value for name, value in BY_A_STRANGER.items() if name not in but}
    return [rest, *({name: value} for name, value in rest.items())]


@pytest.fixture
def on_vercel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERCEL", "1")


@pytest.fixture
def on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "parley-stream")


@pytest.fixture
def invoke(on_aws: None) -> Generator[Callable[[Event], str]]:
    """Call a function behind Mangum, whose deployment has a CloudFront of its own."""
    handler = on_lambda(function(router, instance=instance(edge_key=EDGE_KEY)))
    with ThreadPoolExecutor(1) as runtime:
        yield lambda event: json.loads(received(runtime.submit(handler, event, None).result()).body)
        runtime.submit(lambda: asyncio.get_event_loop().close()).result()


async def test_anywhere_else_it_is_who_connected() -> None:
    assert set(await seen(*each())) == {"127.0.0.1"}


@pytest.mark.usefixtures("on_vercel")
async def test_on_vercel_it_is_what_vercel_says() -> None:
    said = {"x-vercel-forwarded-for": "192.0.2.7"}
    forged = each("X-Vercel-Forwarded-For")
    assert set(await seen(*(headers | said for headers in forged))) == {"192.0.2.7"}
    assert set(await seen(*forged)) == {UNKNOWN}


@pytest.mark.usefixtures("on_vercel")
async def test_on_vercel_what_is_said_last_counts() -> None:
    twice = [("x-vercel-forwarded-for", ELSEWHERE), ("x-vercel-forwarded-for", "192.0.2.7")]
    assert set(await seen(twice, {"x-vercel-forwarded-for": f"{ELSEWHERE}, 192.0.2.7"})) == {"192.0.2.7"}


@pytest.mark.parametrize("event_of", GATEWAYS.values(), ids=GATEWAYS)
def test_behind_an_api_of_aws_it_is_who_connected(
    invoke: Callable[[Event], str], event_of: Callable[[Sent], Event]
) -> None:
    events = [event_of(Sent(path="/address", headers=list(headers.items()))) for headers in each()]
    assert {invoke(event) for event in events} == {"192.0.2.1"}


@pytest.mark.usefixtures("on_aws")
async def test_behind_the_web_adapter_it_is_who_the_adapter_says_connected() -> None:
    context = {"http": {"sourceIp": "2001:DB8::7"}, "accountId": "anonymous"}
    said = {"x-amzn-request-context": json.dumps(context)}
    forged = [headers | said for headers in each("X-Amzn-Request-Context")]
    assert set(await seen(*forged, edge_key=EDGE_KEY)) == {"2001:db8::7"}


@pytest.mark.usefixtures("on_aws")
async def test_an_adapter_that_says_nothing_readable_says_nothing() -> None:
    contexts = ["", "{", "[]", "null", '{"http": 1}', '{"http": {"sourceIp": 7}}', '{"http": {}}']
    said = [BY_A_STRANGER | {"X-Amzn-Request-Context": context} for context in contexts]
    assert set(await seen(*said)) == {UNKNOWN}


def test_behind_our_cloudfront_it_is_the_viewer(invoke: Callable[[Event], str]) -> None:
    shown = [(EDGE_KEY_HEADER, EDGE_KEY), (VIEWER_HEADER, "2001:db8::9")]
    events = [event_of(Sent(path="/address", headers=shown)) for event_of in GATEWAYS.values()]
    assert {invoke(event) for event in events} == {"2001:db8::9"}


@pytest.mark.usefixtures("on_aws")
async def test_without_a_key_nobody_is_our_cloudfront() -> None:
    said = {"x-amzn-request-context": json.dumps({"http": {"sourceIp": "192.0.2.7"}}), VIEWER_HEADER: ELSEWHERE}
    shown = [said | {EDGE_KEY_HEADER: key} for key in ("", "None", EDGE_KEY)]
    assert set(await seen(said, *shown)) == {"192.0.2.7"}


@pytest.mark.parametrize("platform", ["VERCEL", "AWS_LAMBDA_FUNCTION_NAME"])
async def test_cloudfront_is_believed_on_aws_alone(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setenv(platform, "1")
    shown = {EDGE_KEY_HEADER: EDGE_KEY, VIEWER_HEADER: "192.0.2.9"}
    assert await seen(shown, edge_key=EDGE_KEY) == ["192.0.2.9" if platform.startswith("AWS") else UNKNOWN]


@pytest.mark.usefixtures("on_vercel")
async def test_an_address_has_one_spelling() -> None:
    spelled = ["::ffff:192.0.2.7", "2001:DB8:0::1", "a host", "1.2.3.4:5"]
    read = await seen(*({"x-vercel-forwarded-for": address} for address in spelled))
    assert read == ["192.0.2.7", "2001:db8::1", UNKNOWN, UNKNOWN]
