"""Outgoing HTTP, for the calls on the hot path: a few sessions per warm instance.

aiohttp rather than httpx: half the CPU per streamed token (`docs/decisions/hot-path-clients.md`).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from socket import AddressFamily, SocketKind, socket
from types import SimpleNamespace
from typing import Any, Final, Protocol, TypedDict, Unpack
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import AbstractResolver

AddressInfo = tuple[AddressFamily | int, SocketKind | int, int, str, tuple[Any, ...]]
"""What a socket is made for: family, kind, protocol, canonical name, and the address that it will connect to."""


@dataclass(frozen=True, slots=True)
class Way:
    """How connections are made. Calls that share a way share its kept connections.

    Attributes:
        make_socket: makes the socket for an address, or raises an `OSError` where none may be connected to.
        resolver: finds the addresses of a host; None for the system's.
    """

    make_socket: Callable[[AddressInfo], socket] | None = None
    resolver: AbstractResolver | None = None


ANYWHERE: Final = Way()
"""To addresses that the operator named, which are trusted."""


class Request(TypedDict, total=False):
    """What `send` takes of aiohttp's arguments."""

    data: bytes | None
    headers: Mapping[str, str]
    timeout: aiohttp.ClientTimeout


class Send(Protocol):
    """`send`, or what checks addresses before it, such as `lib.guarded.Guard.send`."""

    async def __call__(
        self, method: str, url: str, *, once: bool = False, **request: Unpack[Request]
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer once its head is there."""
        ...


_Sessions = dict[tuple[Way, bool], aiohttp.ClientSession]

_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, _Sessions] = WeakKeyDictionary()


def http_session(way: Way = ANYWHERE, *, keeps_connections: bool = True) -> aiohttp.ClientSession:
    """Return the running event loop's session for a way, made on first use.

    It follows no proxy from the environment and keeps no cookies; of an answer it reads 128 headers of 8 KB at most.
    Callers set a timeout with every request.
    """
    sessions = _sessions.setdefault(asyncio.get_running_loop(), {})
    session = sessions.get((way, keeps_connections))
    if session is None or session.closed:
        session = sessions[way, keeps_connections] = _new_session(way, keeps_connections=keeps_connections)
    return session


def _new_session(way: Way, *, keeps_connections: bool) -> aiohttp.ClientSession:
    keeping: dict[str, Any] = {"keepalive_timeout": 30} if keeps_connections else {"force_close": True}
    connector = aiohttp.TCPConnector(
        limit=0, ttl_dns_cache=60, socket_factory=way.make_socket, resolver=way.resolver, **keeping
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=5),
        trace_configs=[_tracing()],
    )


async def send(method: str, url: str, *, once: bool = False, **request: Unpack[Request]) -> aiohttp.ClientResponse:
    """Send a request and return the answer once its head is there. Redirects are not followed.

    It is sent once more where a connection that was kept turned out to be closed, as after a warm instance slept. A
    server that hangs up on a new connection may have begun to work, and is not asked twice. What must not reach a
    server twice says `once`, and has a connection of its own.

    Raises:
        aiohttp.ClientError: the server could not be reached, or hung up.
    """
    return await send_by(ANYWHERE, method, url, once=once, **request)


async def send_by(
    way: Way, method: str, url: str, *, once: bool = False, **request: Unpack[Request]
) -> aiohttp.ClientResponse:
    """Send a request by a way, as `send`."""
    taken = _Taken()
    session = http_session(way, keeps_connections=not once)
    ask = partial(session.request, method, url, allow_redirects=False, trace_request_ctx=taken, **request)
    try:
        return await ask()
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        if not taken.from_pool:
            raise
        return await ask()


@dataclass(slots=True)
class _Taken:
    """Where the connection of a request came from."""

    from_pool: bool = False


async def _note_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _: object) -> None:
    if isinstance(context.trace_request_ctx, _Taken):
        context.trace_request_ctx.from_pool = True


def _tracing() -> aiohttp.TraceConfig:
    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(_note_reuse)
    return config


async def close_http_session() -> None:
    """Close the running loop's sessions, if it has any."""
    for session in _sessions.pop(asyncio.get_running_loop(), {}).values():
        await session.close()
