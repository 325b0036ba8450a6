"""SQLAlchemy's engine, made for serverless functions behind a transaction-mode pooler such as Neon's.

Few connections, no session state, no prepared statements through a pooler, and no round trip spent on asking whether a
connection still lives.
"""

import os
import select
import socket
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final, Protocol

import psycopg
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError

from lib.db.driver import Driver, is_unfit
from lib.db.faults import is_too_much
from lib.errors import ParleyError

RECYCLE: Final = 240
"""Seconds after which a connection is replaced: below the five minutes after which Neon suspends an idle database."""
CONNECT: Final = 2
"""Seconds one address of the server may take to let us in: psycopg's least, and it leaves time for a second address."""
_CONNECT: Final = {
    "prepare_threshold": None,  # until `Driver` knows that there is no transaction-mode pooler in between
    "connect_timeout": CONNECT,
    "keepalives_idle": 30,
    "tcp_user_timeout": 5000,  # a frozen instance wakes up with dead sockets: notice within seconds
    "application_name": "parley",
}
_NEON_TLS: Final = {"sslmode": "require", "channel_binding": "require"}

_OTHERS: Final = {"pgbouncer", "connection_limit", "pool_timeout", "prepared_statement_cache_size"}


class Line(Protocol):
    """Whoever connects.

    Attributes:
        driver: the connection, as soon as there is one: what to hang up on when it is silent for too long.
    """

    driver: Driver | None


line: Final[ContextVar[Line]] = ContextVar("line")
"""Who connects in this task."""


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


def make_engine(url: str, pool_size: int) -> Engine:
    """Return an engine that connects when it is first used, and keeps `pool_size` connections at most.

    A task that connects sets `line` before.
    """
    engine = create_engine(
        engine_url(url).set(drivername="postgresql+psycopg_async"),
        hide_parameters=True,  # an error's text goes to the log; what people say and their hashes do not
        pool_size=pool_size,
        max_overflow=0,
        pool_recycle=RECYCLE,
        pool_use_lifo=True,
        isolation_level="AUTOCOMMIT",
        paramstyle="numeric_dollar",  # as Postgres itself has them, and `Driver` sends them
        use_native_hstore=False,  # its types are looked up on every first connection, and we have none
        connect_args=_CONNECT | {"async_creator_fn": Driver.connect},
    )
    event.listen(engine, "connect", _let_in, insert=True)
    event.listen(engine, "checkout", _take_over)
    return engine


def hang_up(driver: psycopg.AsyncConnection[Any]) -> None:
    """Shut the socket of a connection that is silent for too long; psycopg then sees that the server is gone.

    Cancelling the wait instead would have psycopg ask the silent server to cancel the query, for seconds more.
    """
    if driver.closed:
        return
    with socket.socket(fileno=os.dup(driver.fileno())) as duplicate, suppress(OSError):
        duplicate.shutdown(socket.SHUT_RDWR)


def is_lost(error: Exception) -> bool:
    """Tell a server that is away from a statement that it refused."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, TimeoutError | DisconnectionError)
    lost = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return lost and not isinstance(error.orig, _CONFLICTS) and not is_too_much(error.orig)


def is_silence(error: Exception) -> bool:
    """Say whether nobody answered where we wanted to connect."""
    return isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.errors.ConnectionTimeout)


_CONFLICTS: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)
"""What two statements do to each other on a healthy server; psycopg files them with lost connections."""


def is_answer(error: Exception) -> bool:
    """Say whether an error is the word of a server that can serve us: a refusal, or what a preface found."""
    if isinstance(error, DBAPIError):
        return getattr(error.orig, "sqlstate", None) is not None and not is_unfit(error.orig)
    return isinstance(error, ParleyError)


def reason(error: Exception) -> str:
    """Name the fault without the server's words, which may quote a row, and the driver's, which tell the host."""
    fault: object = getattr(error, "orig", None) or error
    state: str | None = getattr(fault, "sqlstate", None)
    return f"{type(fault).__name__} {state or '(no word from the server)'}"


def _let_in(connection: Any, _record: Any) -> None:
    """Have a server hung up on that lets us in and then says nothing, as a pooler does that has no server left for us.

    SQLAlchemy asks a new connection a few things of its own before anybody else can watch it.
    """
    line.get().driver = connection.driver_connection


def _take_over(connection: Any, _record: Any, _proxy: Any) -> None:
    """Hand over a connection that lives, or have the pool replace one that the server has closed.

    Between two statements the server has nothing to say, so a socket that is readable holds the end of the stream,
    or the last words before it. Asking the kernel costs microseconds; a ping would cost a round trip.
    """
    driver, line.get().driver = connection.driver_connection, None
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError("the server closed this connection")
    line.get().driver = driver
