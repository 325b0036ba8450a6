"""The one transport to addresses that a team names."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from lib.addresses import is_public
from lib.errors import AddressRefused
from lib.guarded import Guard
from lib.http import AddressInfo, Way, close_http_session, send_by
from tests.doubles.webhook_server import WebhookServer

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
NOBODY = Guard(frozenset(), https_only=False)
TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)

PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),  # noqa: S104
    *("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.64.0.1", "100.100.100.200", "192.0.0.192"),
    *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.251", "240.0.0.1"),
    *("255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "ff02::1"),
    *(
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "::8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b::169.254.169.254",
    ),
    *("64:ff9b:1::1", "2002:7f00:1::1", "2002:808:808::1", "2001::1", "2001:db8::1", "3fff::1", "fec0::1", "5f00::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


class Resolver(AbstractResolver):
    """A DNS server that gives each of its answers once, the last for good."""

    def __init__(self, *answers: Iterable[str], port: int | None = None) -> None:
        self._answers = [list(answer) for answer in answers]
        self._port = port
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=self._port or port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer
        ]

    async def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
async def webhook() -> AsyncGenerator[WebhookServer]:
    async with WebhookServer() as server:
        yield server
        await close_http_session()


async def status(guard: Guard, url: str, method: str = "POST", **request: Any) -> int:
    response = await guard.send(method, url, timeout=TIMEOUT, **request)
    response.close()
    return response.status


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_of_the_public_internet_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_known(address: str) -> None:
    assert is_public(address)


def test_what_is_no_address_is_not_public() -> None:
    assert not is_public("localhost")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_is_called_where_its_name_is_allowed_and_nowhere_else(
    webhook: WebhookServer, host: str
) -> None:
    url = f"http://{host}:{webhook.port}/webhook"
    assert await status(Guard(LOCAL, https_only=True), url, data=b"{}") == 200
    with pytest.raises(AddressRefused, match="private network"):
        await status(NOBODY, url, data=b"{}")
    assert len(webhook.calls) == 1


async def test_another_host_that_is_allowed_opens_no_way(webhook: WebhookServer) -> None:
    with pytest.raises(AddressRefused):
        await status(Guard(frozenset({"127.0.0.1"}), https_only=False), f"http://localhost:{webhook.port}/webhook")
    assert webhook.calls == []


@pytest.mark.parametrize(
    "spelling",
    [
        *("2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "0177.0.0.1", "127.0.1", "0", "0.0.0.0"),  # noqa: S104
        *(
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[fe80::1%25lo]",
        ),
        *("localhost.", "LOCALHOST", "ip6-localhost", "①②⑦.⓪.⓪.①", "127。0。0。1", "%31%32%37.0.0.1"),
    ],
)
async def test_no_spelling_of_this_machine_gets_around_the_check(webhook: WebhookServer, spelling: str) -> None:
    """A name that no DNS server knows may be no address at all, which is as good."""
    with pytest.raises((AddressRefused, aiohttp.ClientError)):
        await status(NOBODY, f"http://{spelling}:{webhook.port}/webhook", data=b"{}")
    assert webhook.calls == []


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_into_a_private_network_is_refused_and_the_address_not_told(address: str) -> None:
    guard = Guard(frozenset(), https_only=False, resolver=Resolver([address]))
    with pytest.raises(AddressRefused) as refused:
        await status(guard, "http://innocent.example/")
    assert address not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    await close_http_session()


async def test_a_name_with_several_addresses_leads_to_none_that_is_private(webhook: WebhookServer) -> None:
    resolver = Resolver(["127.0.0.1", "::1", "10.0.0.1"], port=webhook.port)
    with pytest.raises(AddressRefused):
        await status(Guard(frozenset(), https_only=False, resolver=resolver), "http://innocent.example/")
    assert webhook.calls == []


async def test_dns_that_changes_its_answer_after_the_address_was_saved_is_caught(webhook: WebhookServer) -> None:
    resolver = Resolver(["8.8.8.8"], ["127.0.0.1"], port=webhook.port)
    guard = Guard(frozenset(), https_only=False, resolver=resolver)
    url = "http://innocent.example/"
    guard.check(url)
    (then,) = await resolver.resolve("innocent.example")
    assert is_public(then["host"])
    with pytest.raises(AddressRefused):
        await status(guard, url)
    assert webhook.calls == []


async def test_the_address_that_is_checked_is_the_one_that_is_connected_to(webhook: WebhookServer) -> None:
    """There is no second look-up in between, whose answer could be another."""
    made: list[tuple[Any, socket.socket]] = []

    def make(address: AddressInfo) -> socket.socket:
        made.append((address[4], socket.socket(*address[:3])))
        return made[-1][1]

    resolver = Resolver(["127.0.0.1"], ["127.0.0.2"], port=webhook.port)
    response = await send_by(Way(make, resolver), "POST", "http://innocent.example/", timeout=TIMEOUT)
    ((address, connected),) = made
    assert address == connected.getpeername() == ("127.0.0.1", webhook.port)
    assert resolver.asked == 1
    response.close()


async def test_a_connection_to_an_allowed_host_is_not_lent_to_whom_it_is_not_allowed(webhook: WebhookServer) -> None:
    url = f"http://localhost:{webhook.port}/webhook"
    assert await status(Guard(LOCAL, https_only=False), url) == 200
    with pytest.raises(AddressRefused):
        await status(NOBODY, url)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("n8n.internal", "http://n8n.internal/webhook"),
        ("n8n.internal", "http://N8N.internal:5678/webhook"),
        ("N8N.Internal:5678", "http://n8n.internal:5678/webhook"),
        ("n8n.internal:443", "https://n8n.internal/webhook"),
        ("10.0.0.7", "http://10.0.0.7:5678/webhook"),
        ("fd00::7", "http://[fd00::7]/webhook"),
        ("fd00::7", "http://[fd00:0::0007]/webhook"),
        ("[fd00::7]", "http://[fd00::7]/webhook"),
        ("[fd00::7]:5678", "http://[fd00::7]:5678/webhook"),
    ],
)
def test_an_allowed_host_may_be_private_and_without_https(allowed: str, url: str) -> None:
    Guard(frozenset({allowed}), https_only=True).check(url)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("n8n.internal:5678", "http://n8n.internal/webhook"),
        ("n8n.internal", "http://n8n.internal.evil.example/"),
        ("n8n.internal", "http://evil-n8n.internal/"),
        ("n8n.internal", "http://n8n.internal@evil.example/"),
        ("n8n.internal", "http://evil.example/#n8n.internal"),
        ("n8n.internal", "http://evil.example\\@n8n.internal/"),
        ("10.0.0.7", "http://10.0.0.70/"),
        ("fd00::7", "http://[fd00::78]/"),
    ],
)
def test_a_host_that_only_looks_like_an_allowed_one_is_not(allowed: str, url: str) -> None:
    with pytest.raises(AddressRefused):
        Guard(frozenset({allowed}), https_only=True).check(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/", "needs https"),
        ("https://user:secret@example.com/", "no user name"),
        ("https://user@example.com/", "no user name"),
        ("https://:secret@example.com/", "no user name"),
        ("ftp://example.com/", "starts with https"),
        ("file:///etc/passwd", "starts with https"),
        ("gopher://example.com/", "starts with https"),
        ("//example.com/", "starts with https"),
        ("example.com", "starts with https"),
        ("https://", "starts with https"),
        ("https:///path", "starts with https"),
        ("https://example.com:0/", "starts with https"),
        ("", "starts with https"),
        ("https://example.com:99999/", "not an address"),
        ("https://[::1/", "not an address"),
        ("https://exa mple.com/", "no blanks"),
        ("https://example.com/\r\nX: y", "no blanks"),
        ("https://example.com/\0", "no blanks"),
        ("https://example.com/" + "x" * 3000, "2048 characters"),
        ("https://10.0.0.1/", "private network"),
        ("https://2130706433/", "private network"),
        ("https://[::1]/", "private network"),
        ("https://[::ffff:169.254.169.254]/", "private network"),
    ],
)
def test_an_address_is_refused_where_it_is_written_and_why(url: str, words: str) -> None:
    with pytest.raises(AddressRefused, match=words) as refused:
        Guard(frozenset(), https_only=True).check(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["https://n8n.example.com/webhook/support-bot?a=b", "https://8.8.8.8:8443/", "https://bücher.example/"],
)
def test_a_public_address_may_be_written(url: str) -> None:
    Guard(frozenset(), https_only=True).check(url)


async def test_what_may_not_be_written_is_not_asked_either(webhook: WebhookServer) -> None:
    with pytest.raises(AddressRefused):
        await status(Guard(LOCAL, https_only=True), f"http://user:secret@127.0.0.1:{webhook.port}/")
    assert webhook.calls == []


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/meta-data/", "/elsewhere", "http://localhost:1/"])
async def test_a_redirect_is_handed_back_and_not_followed(webhook: WebhookServer, location: str) -> None:
    webhook.replies(b"", status=302, headers={"Location": location})
    assert await status(Guard(LOCAL, https_only=True), webhook.url) == 302
    assert len(webhook.calls) == 1


async def test_no_proxy_of_the_environment_is_asked(webhook: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with WebhookServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.base)
        assert await status(Guard(LOCAL, https_only=True), webhook.url) == 200
        assert (len(webhook.calls), proxy.calls) == (1, [])


async def test_a_cookie_is_neither_kept_nor_sent(webhook: WebhookServer) -> None:
    webhook.replies(b"ok", headers={"Set-Cookie": "a=b; Path=/"})
    guard = Guard(LOCAL, https_only=True)
    for _ in range(2):
        await status(guard, f"http://localhost:{webhook.port}/")
    assert ["Cookie" in call.headers for call in webhook.calls] == [False, False]


@pytest.mark.parametrize("head", [b"X: " + b"y" * 20_000 + b"\r\n", b"X: y\r\n" * 5000], ids=["long", "many"])
async def test_endless_headers_are_cut(head: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(aiohttp.ClientError):
            await status(Guard(LOCAL, https_only=True), f"http://127.0.0.1:{port}/")
        await close_http_session()


async def test_what_goes_out_once_has_a_connection_of_its_own(webhook: WebhookServer) -> None:
    """A kept one may turn out to be closed, and then nobody knows whether the request arrived."""
    guard = Guard(LOCAL, https_only=True)
    for once in (False, True, True, False):
        response = await guard.send("POST", webhook.url, data=b"{}", timeout=TIMEOUT, once=once)
        await response.read()
    assert webhook.connections == 3


async def test_a_server_that_cannot_be_reached_is_no_refusal(unused_tcp_port: int) -> None:
    with pytest.raises(aiohttp.ClientConnectorError):
        await status(Guard(LOCAL, https_only=True), f"http://127.0.0.1:{unused_tcp_port}/")
    await close_http_session()
