"""One engine per warm instance, and the way to a connection.

The engine is made for serverless functions behind a transaction-mode pooler such as Neon's: few connections, no
prepared statements, no session state, and no round trip spent on asking whether a connection still lives.
"""

import asyncio
import logging
import os
import select
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, cast

import psycopg
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from lib.breaker import Breaker
from lib.errors import DatabaseUnavailable

POOL_SIZE: Final = 4
"""Connections an instance may hold. A turn needs one for a few milliseconds, twice."""
POOL_WAIT: Final = 2.0
"""Seconds a statement waits for one of them."""
RECYCLE: Final = 240
"""Seconds after which a connection is replaced: below the five minutes after which Neon suspends an idle database."""
STATEMENT: Final = 3.0
"""Seconds a statement may take."""
CONNECT: Final = 3
"""Seconds a connection may take to make."""
_CONNECT: Final = {
    "prepare_threshold": None,  # a transaction-mode pooler gives the next transaction another server
    "connect_timeout": CONNECT,
    "keepalives_idle": 30,
    "tcp_user_timeout": 5000,  # a frozen instance wakes up with dead sockets: notice within seconds
    "application_name": "parley",
}
_NEON_TLS: Final = {"sslmode": "require", "channel_binding": "require"}

_log = logging.getLogger("parley.db")


def engine_url(url: str) -> URL:
    """Return the URL for psycopg 3, whichever spelling the operator's tool uses.

    `postgres://`, `postgresql://`, `+asyncpg` and `+psycopg` are taken; asyncpg's `ssl` becomes libpq's `sslmode`,
    Prisma's `pgbouncer` is dropped, and Neon gets TLS and channel binding unless the URL says otherwise.
    """
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    query = dict(parsed.query)
    query.pop("pgbouncer", None)
    if "ssl" in query:
        query.setdefault("sslmode", query.pop("ssl"))
    if (parsed.host or "").endswith(".neon.tech"):
        query = _NEON_TLS | query
    return parsed.set(query=query)


class Database:
    """The engine of this instance, with a breaker in front of it."""

    def __init__(self, url: str | None, *, breaker: Breaker | None = None) -> None:
        """Make the engine. Nothing connects before the first statement; without a URL none ever succeeds."""
        self._breaker = breaker or Breaker()
        self._engine = _make_engine(url) if url else None

    @asynccontextmanager
    async def one_statement(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection on which each statement commits itself: one round trip instead of three.

        Raises:
            DatabaseUnavailable: when Postgres cannot be reached, is lost on the way, or is silent too long; at once
                while the breaker is open.
        """
        if self._engine is None or not self._breaker.allows():
            raise DatabaseUnavailable
        try:
            async with self._engine.connect() as connection:
                with _hung_up_after(STATEMENT, connection):
                    yield await connection.execution_options(isolation_level="AUTOCOMMIT")
        except Exception as error:
            if not _is_outage(error):
                self._breaker.succeeded()
                raise
            self._breaker.failed()
            _log.warning("database unavailable: %s", type(error).__name__)
            raise DatabaseUnavailable from error
        else:
            self._breaker.succeeded()

    async def close(self) -> None:
        """Close every connection."""
        if self._engine is not None:
            await self._engine.dispose()


def _make_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(
        engine_url(url),
        hide_parameters=True,  # an error's text goes to the log; what people say and their hashes do not
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_WAIT,
        pool_recycle=RECYCLE,
        pool_use_lifo=True,
        connect_args=dict(_CONNECT),
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed_connection)
    return engine


def _is_outage(error: Exception) -> bool:
    """Tell a server that is away from a statement that it refused, or an error of the work itself."""
    return isinstance(error, OperationalError | InterfaceError | PoolTimeout | TimeoutError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


@contextmanager
def _hung_up_after(seconds: float, connection: AsyncConnection) -> Generator[None]:
    """Shut the socket of a connection that is silent for too long; psycopg then sees that the server is gone.

    Cancelling the wait instead would have psycopg ask the silent server to cancel the query, for seconds more.
    """
    pooled = connection.sync_connection
    assert pooled is not None  # noqa: S101 - it is connected
    fileno: int = cast("psycopg.AsyncConnection", pooled.connection.driver_connection).fileno()
    timer = asyncio.get_running_loop().call_later(seconds, _hang_up, fileno)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(fileno: int) -> None:
    with socket.socket(fileno=os.dup(fileno)) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


def _refuse_closed_connection(connection: Any, _record: Any, _proxy: Any) -> None:
    """Have the pool replace a connection that the server has closed.

    Between two statements the server has nothing to say, so a socket that is readable holds the end of the stream,
    or the last words before it. Asking the kernel costs microseconds; a ping would cost a round trip.
    """
    poll = select.poll()
    poll.register(connection.driver_connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError("the server closed this connection")
