"""The way to a connection, for a statement or two, with a breaker in front of it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg
import sqlalchemy
from sqlalchemy import CursorResult, Executable, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.util import greenlet_spawn

from lib.breaker import Breaker
from lib.db.driver import Driver, is_unfit
from lib.db.engine import make_engine
from lib.db.errand import Errand, Way
from lib.db.places import Places
from lib.db.tenant import Preface, Reach
from lib.errors import DatabaseUnavailable, ReportTooLong

POOL_SIZE: Final = 4
"""Connections there may be, where nobody says how many. A turn needs one for a few milliseconds, twice."""
REPORT: Final = 2.0
"""Seconds a report may run in the server: less than an errand's budget, so that it is the server that gives up."""
FAREWELL: Final = 0.5
"""Of a report's budget, seconds for the server to say that it gave up."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection on which each statement commits itself.

    It is what `sqlalchemy.ext.asyncio` would give, less the ORM, which that package imports and we never use
    (`docs/decisions/cold-start.md`). As there, SQLAlchemy's own code runs in a greenlet, and waits in the event loop.
    """

    core: sqlalchemy.Connection
    errand: Errand
    preface: Preface | None

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """Run a statement and return its result, all rows at hand.

        A statement that is begun is brought to its end, also when whoever waits for it is cancelled.

        Raises:
            Unauthenticated: the credential of the tenant's asker does not hold any more. The statement did nothing.
            Forbidden: the asker's role is not enough, likewise.
            DatabaseUnavailable: no answer came. The statement may have been heard.
        """
        return await self.errand.do(self._execute(statement, parameters))

    async def _execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None
    ) -> CursorResult[*tuple[Any, ...]]:
        driver: Any = self.core.connection.driver_connection
        assert isinstance(driver, Driver)  # noqa: S101 - the engine makes no others
        driver.preface = self.preface
        try:
            result = await greenlet_spawn(self.core.execute, statement, parameters)
        finally:
            driver.preface = None
        self.errand.answered()
        return result

    def without_preface(self) -> "Connection":
        """Return the same connection for what is no tenant's, such as the beginning of a transaction."""
        return replace(self, preface=None)


class Database:
    """The connections of this instance, with a breaker in front of them."""

    def __init__(
        self,
        url: str | None,
        *,
        pool_size: int = POOL_SIZE,
        breaker: Breaker | None = None,
        recovered: Callable[[], None] | None = None,
    ) -> None:
        """Connect to nothing yet: the first statement does.

        Args:
            url: where Postgres is; without one no statement ever succeeds.
            pool_size: how many connections there may be at once.
            breaker: what decides that Postgres is away.
            recovered: called when an answer shows that it is back. It may neither fail nor wait.
        """
        self._breaker = breaker or Breaker()
        self._way = Way(make_engine(url, pool_size), Places(pool_size), self._breaker, recovered) if url else None

    @asynccontextmanager
    async def one_statement(self, reach: Reach, *, past_breaker: bool = False) -> AsyncGenerator[Connection]:
        """Yield a connection on which each statement commits itself: one round trip instead of three.

        From here on there are three seconds for everything: waiting for a connection, making one, and the statement.

        Args:
            reach: the tenant whose rows the statements may touch, or `EVERY_TEAM` for work that is no tenant's.
            past_breaker: ask also while the breaker is open, which an answer then closes: to see how Postgres is.

        Raises:
            DatabaseBusy: Postgres answers others, and no connection came free in time.
            DatabaseUnavailable: when Postgres cannot be reached, is lost on the way, or is silent too long; at once
                while the breaker is open.
        """
        call = self._breaker.enter(regardless=past_breaker) if self._way else None
        if self._way is None or call is None:
            raise DatabaseUnavailable(retry_after=self._breaker.retry_after)
        with call:
            errand = Errand(self._way, call)
            await errand.take_place()
            try:
                yield Connection(await errand.connect(), errand, reach.preface())
            except DBAPIError as error:
                if not is_unfit(error.orig):
                    raise
                raise errand.unfit(error) from error
            finally:
                await errand.end()

    @asynccontextmanager
    async def one_report(self, reach: Reach) -> AsyncGenerator[Connection]:
        """Yield a connection for a statement that reads much, which Postgres itself stops after `REPORT`, or sooner.

        A statement that we hang up on would run on in the server, and a report asked for again and again pile up.

        Raises:
            DatabaseBusy: as `one_statement`.
            DatabaseUnavailable: likewise.
            ReportTooLong: Postgres stopped it.
        """
        try:
            async with self.one_statement(reach) as connection:
                own = connection.without_preface()
                await own.execute(_begin_report(min(REPORT, connection.errand.left - FAREWELL)))
                yield connection
                await own.execute(_END_REPORT)
        except OperationalError as error:
            if not isinstance(error.orig, psycopg.errors.QueryCanceled):
                raise
            raise ReportTooLong from error

    async def close(self) -> None:
        """Close every connection, once what is under way has come to its end."""
        if self._way is not None:
            while self._way.under_way:
                await asyncio.wait(tuple(self._way.under_way))
            await greenlet_spawn(self._way.engine.dispose)


def _begin_report(seconds: float) -> Executable:
    milliseconds = max(1, int(seconds * 1000))
    begin = text(f"BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds}")
    return begin.execution_options(no_parameters=True)  # one message of several statements must hold none


_END_REPORT = text("COMMIT")
