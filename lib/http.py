"""One outgoing HTTP session per warm instance, for the calls on the hot path.

aiohttp rather than httpx: half the CPU per streamed token (`docs/decisions/hot-path-clients.md`).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TypedDict, Unpack
from weakref import WeakKeyDictionary

import aiohttp

_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()


class Request(TypedDict, total=False):
    """What `send` takes of aiohttp's arguments."""

    data: bytes | None
    headers: Mapping[str, str]
    timeout: aiohttp.ClientTimeout


def http_session() -> aiohttp.ClientSession:
    """Return the session of the running event loop, made on first use.

    It follows no proxy from the environment and keeps no cookies. Callers set a timeout with every request.
    """
    loop = asyncio.get_running_loop()
    session = _sessions.get(loop)
    if session is None or session.closed:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=5),
            trace_configs=[_tracing()],
        )
        _sessions[loop] = session
    return session


async def send(method: str, url: str, **request: Unpack[Request]) -> aiohttp.ClientResponse:
    """Send a request and return the answer once its head is there. Redirects are not followed.

    It is sent once more where a connection that was kept turned out to be closed, as after a warm instance slept. A
    server that hangs up on a new connection may have begun to work, and is not asked twice.

    Raises:
        aiohttp.ClientError: the server could not be reached, or hung up.
    """
    taken = _Taken()
    ask = partial(http_session().request, method, url, allow_redirects=False, trace_request_ctx=taken, **request)
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
    """Close the running loop's session, if it has one."""
    session = _sessions.pop(asyncio.get_running_loop(), None)
    if session is not None:
        await session.close()
