"""One engine per warm instance, and the way to a connection.

The engine is made for serverless functions behind a transaction-mode pooler such as Neon's: few connections, no
prepared statements, no session state, and no round trip spent on asking whether a connection still lives.
"""

import asyncio
import logging
import os
import select
import socket
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import sqlalchemy
from sqlalchemy import URL, CursorResult, Engine, Executable, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, InvalidRequestError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.util import greenlet_spawn

from lib.breaker import Breaker
from lib.db.driver import Driver, is_unfit
from lib.db.tenant import Preface, Reach
from lib.errors import DatabaseUnavailable, ReportTooLong

POOL_SIZE: Final = 4
"""Connections an instance may hold. A turn needs one for a few milliseconds, twice."""
POOL_WAIT: Final = 2.0
"""Seconds a statement waits for one of them."""
RECYCLE: Final = 240
"""Seconds after which a connection is replaced: below the five minutes after which Neon suspends an idle database."""
STATEMENT: Final = 3.0
"""Seconds a connection may be in use, or be silent when it is new."""
REPORT: Final = 2.0
"""Seconds a report may run in the server: less than `STATEMENT`, so that it is the server that gives up."""
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

_OTHERS: Final = {"pgbouncer", "connection_limit", "pool_timeout", "prepared_statement_cache_size"}

# One message of several statements; only one without parameters may hold them.
_BEGIN_REPORT = text(f"BEGIN READ ONLY; SET LOCAL statement_timeout = {int(REPORT * 1000)}").execution_options(
    no_parameters=True
)
_END_REPORT = text("COMMIT")

_log = logging.getLogger("parley.db")


def engine_url(url: str) -> URL:
    """Return the URL for psycopg 3, whichever spelling the operator's tool uses.

    `postgres://`, `postgresql://`, `+asyncpg` and `+psycopg` are taken; asyncpg's `ssl` becomes libpq's `sslmode`, what
    asyncpg and Prisma alone understand is dropped, and Neon gets TLS and channel binding unless the URL says otherwise.
    """
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    query = {name: value for name, value in parsed.query.items() if name not in _OTHERS}
    if "ssl" in query:
        ssl = query.pop("ssl")
        query.setdefault("sslmode", {"true": "require", "false": "disable"}.get(str(ssl), ssl))
    if (parsed.host or "").endswith(".neon.tech"):
        query = _NEON_TLS | query
    return parsed.set(query=query)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection on which each statement commits itself.

    It is what `sqlalchemy.ext.asyncio` would give, less the ORM, which that package imports and we never use
    (`docs/decisions/cold-start.md`). As there, SQLAlchemy's own code runs in a greenlet, and waits in the event loop.
    """

    core: sqlalchemy.Connection
    preface: Preface | None = None

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """Run a statement and return its result, all rows at hand.

        Raises:
            Unauthenticated: the credential of the tenant's asker does not hold any more. The statement did nothing.
            Forbidden: the asker's role is not enough, likewise.
        """
        driver = _driver(self.core)
        driver.preface = self.preface
        try:
            return await greenlet_spawn(self.core.execute, statement, parameters)
        finally:
            driver.preface = None


class Database:
    """The engine of this instance, with a breaker in front of it."""

    def __init__(self, url: str | None, *, breaker: Breaker | None = None) -> None:
        """Make the engine. Nothing connects before the first statement; without a URL none ever succeeds."""
        self._breaker = breaker or Breaker()
        self._engine = _make_engine(url) if url else None

    @asynccontextmanager
    async def one_statement(self, reach: Reach, *, past_breaker: bool = False) -> AsyncGenerator[Connection]:
        """Yield a connection on which each statement commits itself: one round trip instead of three.

        Args:
            reach: the tenant whose rows the statements may touch, or `EVERY_TEAM` for work that is no tenant's.
            past_breaker: ask also while the breaker is open, which an answer then closes: to see how Postgres is.

        Raises:
            DatabaseUnavailable: when Postgres cannot be reached, is lost on the way, or is silent too long; at once
                while the breaker is open.
        """
        if self._engine is None or not (past_breaker or self._breaker.allows()):
            raise DatabaseUnavailable
        try:
            async with _connected(self._engine) as core:
                yield Connection(core, reach.preface())
        except Exception as error:
            if not _is_outage(error):
                self._breaker.succeeded()
                raise
            self._breaker.failed()
            _log.warning("database unavailable: %s", _reason(error))
            raise DatabaseUnavailable from error
        else:
            self._breaker.succeeded()

    @asynccontextmanager
    async def one_report(self, reach: Reach) -> AsyncGenerator[Connection]:
        """Yield a connection for a statement that reads much, which Postgres itself stops after `REPORT`.

        A statement that we hang up on would run on in the server, and a report asked for again and again pile up.

        Raises:
            DatabaseUnavailable: as `one_statement`.
            ReportTooLong: Postgres stopped it.
        """
        try:
            async with self.one_statement(reach) as connection:
                own = Connection(connection.core)
                await own.execute(_BEGIN_REPORT)
                yield connection
                await own.execute(_END_REPORT)
        except OperationalError as error:
            if not isinstance(error.orig, psycopg.errors.QueryCanceled):
                raise
            raise ReportTooLong from error

    async def close(self) -> None:
        """Close every connection."""
        if self._engine is not None:
            await greenlet_spawn(self._engine.dispose)


def _make_engine(url: str) -> Engine:
    engine = create_engine(
        engine_url(url).set(drivername="postgresql+psycopg_async"),
        hide_parameters=True,  # an error's text goes to the log; what people say and their hashes do not
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_WAIT,
        pool_recycle=RECYCLE,
        pool_use_lifo=True,
        isolation_level="AUTOCOMMIT",
        use_native_hstore=False,  # its types are looked up on every first connection, and we have none
        connect_args=_CONNECT | {"async_creator_fn": Driver.connect},
    )
    event.listen(engine, "connect", _watch_first_words, insert=True)
    event.listen(engine, "checkout", _take_over)
    return engine


@asynccontextmanager
async def _connected(engine: Engine) -> AsyncGenerator[sqlalchemy.Connection]:
    """Take a connection from the pool, and give it back also when the request is cancelled meanwhile.

    Raises:
        DisconnectionError: the server lets us in and hangs up, each time.
    """
    try:
        core = await greenlet_spawn(engine.connect)
    except InvalidRequestError as error:  # what SQLAlchemy makes of a second connection that `_take_over` finds closed
        raise DisconnectionError("the server closed each new connection") from error
    with _hung_up_after(STATEMENT, _driver(core)):  # giving back what has a transaction open asks the server, too
        try:
            yield core
        finally:
            closing = asyncio.create_task(greenlet_spawn(core.close))
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                await closing
                raise


def _is_outage(error: Exception) -> bool:
    """Tell a server that is away, or is not fit to serve us, from a statement that it refused."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeout | DisconnectionError)
    if is_unfit(error.orig):
        return True
    lost = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return lost and not isinstance(error.orig, _CONFLICTS)


_CONFLICTS: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)
"""What two statements do to each other on a healthy server; psycopg files them with lost connections."""


def _reason(error: Exception) -> str:
    """Name the fault without the server's words, which may quote a row, and the driver's, which tell the host."""
    fault: object = getattr(error, "orig", None) or error
    state: str | None = getattr(fault, "sqlstate", None)
    return f"{type(fault).__name__} {state or '(no word from the server)'}"


def _driver(connection: sqlalchemy.Connection) -> Driver:
    driver: Any = connection.connection.driver_connection
    return driver


def _watch_first_words(connection: Any, record: Any) -> None:
    """Hang up on a server that lets us in and then says nothing, as a pooler does that has no server left for us.

    SQLAlchemy asks a new connection a few things of its own before anybody else can watch it.
    """
    loop, driver = asyncio.get_running_loop(), connection.driver_connection
    record.info["first_words"] = loop.call_later(STATEMENT, _hang_up, driver)


def _take_over(connection: Any, record: Any, _proxy: Any) -> None:
    """Hand over a connection that lives, or have the pool replace one that the server has closed.

    Between two statements the server has nothing to say, so a socket that is readable holds the end of the stream,
    or the last words before it. Asking the kernel costs microseconds; a ping would cost a round trip.
    """
    if first_words := record.info.pop("first_words", None):
        first_words.cancel()
    poll = select.poll()
    poll.register(connection.driver_connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError("the server closed this connection")


@contextmanager
def _hung_up_after(seconds: float, driver: psycopg.AsyncConnection) -> Generator[None]:
    """Shut the socket of a connection that is silent for too long; psycopg then sees that the server is gone.

    Cancelling the wait instead would have psycopg ask the silent server to cancel the query, for seconds more.
    """
    timer = asyncio.get_running_loop().call_later(seconds, _hang_up, driver)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(driver: psycopg.AsyncConnection) -> None:
    if driver.closed:
        return
    with socket.socket(fileno=os.dup(driver.fileno())) as duplicate, suppress(OSError):
        duplicate.shutdown(socket.SHUT_RDWR)
