"""The way to a connection, for a statement or two, with a breaker in front of it."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import psycopg
from sqlalchemy import Dialect, Executable
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import CompilerElement

from lib.breaker import Breaker
from lib.db.errand import Errand, Way
from lib.db.exchange import Asked, Said
from lib.db.faults import is_unfit
from lib.db.places import Places
from lib.db.pool import Pool
from lib.db.tenant import Preface, Reach
from lib.errors import DatabaseUnavailable, ReportTooLong

POOL_SIZE: Final = 8
"""Connections there may be, where nobody says how many. A turn needs one for a few milliseconds, twice."""
REPORT: Final = 2.0
"""Seconds a report may run in the server: less than an errand's budget, so that it is the server that gives up."""
FAREWELL: Final = 0.5
"""Of a report's budget, seconds for the server to say that it gave up."""


class Rows(IteratorResult[*tuple[Any, ...]]):
    """What a statement returned, all of it at hand.

    Attributes:
        rowcount: how many rows it returned or touched.
    """

    def __init__(self, said: Said) -> None:
        super().__init__(_named(said.columns), iter(said.rows))
        self.rowcount = said.rowcount


@lru_cache(maxsize=256)
def _named(columns: tuple[str, ...]) -> SimpleResultMetaData:
    return SimpleResultMetaData(columns)


class _Compiled(NamedTuple):
    """A statement as Postgres has it, the names of its parameters in their order, and the values that it came with.

    With the execution option `generic_plan` it is planned for any parameters: what every plan of it reads is known.
    """

    sql: bytes
    names: tuple[str, ...]
    own: dict[str, Any]
    generic_plan: bool


@lru_cache(maxsize=512)
def _compiled(statement: Executable, dialect: Dialect) -> _Compiled:
    """Return a statement as Postgres has it: a constant of its module, or one made anew and then not found here."""
    assert isinstance(statement, CompilerElement)  # noqa: S101 - what is executable and is not, is no statement
    compiled = statement.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - there are others for DDL
    own = {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
    generic_plan: bool = statement.get_execution_options().get("generic_plan", False)
    return _Compiled(str(compiled).encode(), tuple(compiled.positiontup or ()), own, generic_plan)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection on which each statement commits itself, for one task at a time.

    SQLAlchemy writes statements, and names rows and faults. What it does besides around each statement took longer than
    all of that, so a statement goes to psycopg from here (`docs/decisions/streamed-token.md`).
    """

    errand: Errand
    preface: Preface | None
    is_report: bool = False

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None, *, last: bool = False
    ) -> Rows:
        """Run a statement and return its result, all rows at hand.

        A statement that is begun is brought to its end, also when whoever waits for it is cancelled. After the `last`
        the connection is given back before the result is, so that others need not wait until somebody has read it.

        Raises:
            Unauthenticated: the credential of the tenant's asker does not hold any more. The statement did nothing.
            Forbidden: the asker's role is not enough, likewise.
            DatabaseUnavailable: no answer came. The statement may have been heard.
        """
        sql, names, own, generic_plan = _compiled(statement, self.errand.dialect)
        values = {**own, **(parameters or {})}
        asked = sql, [values[name] for name in names]
        preface = replace(self.preface, generic_plan=True) if self.preface and generic_plan else self.preface
        return Rows(await self.errand.ask(asked, preface, ahead=self._ahead, last=last))

    def _ahead(self) -> tuple[Asked, ...]:
        if not self.is_report:
            return ()
        seconds = min(REPORT, self.errand.left - FAREWELL)
        return ((_OF_A_REPORT, (str(max(1, int(seconds * 1000))),)),)

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
        self._way = Way(Pool(url), Places(pool_size), self._breaker, recovered) if url else None

    @asynccontextmanager
    async def one_statement(self, reach: Reach, *, past_breaker: bool = False) -> AsyncGenerator[Connection]:
        """Yield a connection on which each statement commits itself: one round trip instead of three.

        From here on there are three seconds for everything: waiting for a connection, making one, and the statement.

        Args:
            reach: the tenant whose rows the statements may touch, or `EVERY_TEAM` for work that is no tenant's.
            past_breaker: ask also while the breaker is open, which an answer then closes: to see how Postgres is.

        Raises:
            DatabaseUnavailable: at once while the breaker is open; from a statement when Postgres cannot be reached, is
                lost on the way, or is silent too long.
            DatabaseBusy: from a statement: Postgres answers others, and no connection came free in time.
        """
        call = self._breaker.enter(regardless=past_breaker) if self._way else None
        if self._way is None or call is None:
            raise DatabaseUnavailable(retry_after=self._breaker.retry_after)
        with call:
            errand = Errand(self._way, call)
            try:
                yield Connection(errand, reach.preface())
            except DBAPIError as error:
                if not is_unfit(error.orig):
                    raise
                raise errand.unfit(error) from error
            finally:
                errand.end()

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
                yield replace(connection, is_report=True)
        except OperationalError as error:
            if not isinstance(error.orig, psycopg.errors.QueryCanceled):
                raise
            raise ReportTooLong from error

    async def close(self) -> None:
        """Close every connection, once what is under way has come to its end."""
        if self._way is not None:
            while self._way.busy:
                await next(iter(self._way.busy)).comes_to_rest()
            self._way.pool.close()


_OF_A_REPORT: Final = b"""
    SELECT set_config('statement_timeout', CAST($1 AS text), true), set_config('transaction_read_only', 'on', true)
"""
