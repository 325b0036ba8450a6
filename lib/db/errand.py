"""An errand to Postgres: a place, a connection and what is asked on it, within one budget of time.

An errand outlives its request. What a request has begun on a connection is brought to its end also when the request is
cancelled: psycopg would ask the server, over a connection of its own, to cancel a statement, and wait for seconds.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from sqlalchemy import Dialect

from lib.breaker import Breaker, Call
from lib.db.driver import Driver
from lib.db.faults import as_sqlalchemys, is_answer, is_lost, is_silence, reason
from lib.db.places import LetGo, Places
from lib.db.pool import Pool
from lib.errors import DatabaseBusy, DatabaseUnavailable
from lib.unhindered import at_once

BUDGET: Final = 3.0
"""Seconds an errand may take from the asking: waiting, connecting and its statements together."""
WAIT: Final = 2.0
"""Of it, seconds to wait for a connection at most: who gets one then still has time to use it."""
LATE: Final = 1.0
"""Seconds after the end of a budget from which on its end says nothing of the server: we ourselves were frozen."""

_log = logging.getLogger("parley.db")


@dataclass(frozen=True, slots=True)
class Way:
    """What every errand of an instance shares.

    Attributes:
        pool: the connections.
        places: who may hold one.
        breaker: whether Postgres is taken to be away.
        recovered: called when an answer shows that it is back.
        under_way: what is still to be brought to its end, also when nobody waits for it.
    """

    pool: Pool
    places: Places
    breaker: Breaker
    recovered: Callable[[], None] | None
    under_way: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])

    def begin[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin `work` at once, in a task that no request's end cancels."""
        task = at_once(work)
        if not task.done():
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)
        return task


class Errand:
    """One errand. It has to `end`."""

    def __init__(self, way: Way, call: Call) -> None:
        """Set out: the budget runs from here."""
        self.driver: Driver | None = None
        self.encrypted = False
        self._way = way
        self._call = call
        self._work: asyncio.Task[Any] | None = None
        self._until = time.monotonic() + BUDGET
        self._has_place = False
        self._busy = False
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's, in which statements are written."""
        return self._way.pool.dialect

    @property
    def left(self) -> float:
        """Seconds left of the budget."""
        return self._until - time.monotonic()

    async def do[T](self, ask: Callable[[Driver], Coroutine[Any, Any, T]], *, last: bool) -> T:
        """Ask something on a connection, which is brought to its end also when whoever wants to know is cancelled.

        Args:
            ask: what is asked.
            last: whether to give the connection and the place back at once, unless a transaction is left open; else
                they are kept for what is asked next.

        Raises:
            DatabaseBusy: no place came free, while others were served.
            DatabaseUnavailable: none came free, and nobody was served; or the breaker opened meanwhile; or there is no
                connection to be had, it was lost, or the budget ran out.
        """
        if self._work is not None and not self._work.done():
            await asyncio.wait((self._work,))
        if not self._has_place:
            await self._take_place()
        self._work = self._way.begin(self._judged(self._done(ask, last=last)))
        return await asyncio.shield(self._work)

    def lost(self) -> None:
        """Note that the connection is gone: those that were made before may be, too."""
        self._way.pool.distrust()

    def answered(self) -> None:
        """Note that Postgres answered."""
        if self._call.answered() and self._way.recovered:
            self._way.recovered()

    def unfit(self, error: Exception) -> DatabaseUnavailable:
        """Return what to raise for a server that answers, and is not fit to serve us."""
        return self._away(reason(error), waited=False)

    async def end(self) -> None:
        """Give back what is not given back yet; later, when a request is cancelled in the middle of something."""
        if self._work is not None and not self._work.done():
            self._way.begin(self._end())
        elif self._has_place:
            await asyncio.shield(self._way.begin(self._end()))

    async def _end(self) -> None:
        if self._work is not None and not self._work.done():
            await asyncio.wait((self._work,))
            if not self._work.cancelled():
                self._work.exception()  # whoever wanted to know is gone, and the log knows of what concerns the server
        if self._has_place:
            await self._put_down()

    async def _take_place(self) -> None:
        if self.left <= 0:
            raise DatabaseUnavailable(retry_after=self._way.breaker.retry_after)
        try:
            await self._way.places.take(patience=min(WAIT, self.left))
        except LetGo:
            raise DatabaseUnavailable(retry_after=self._way.breaker.retry_after) from None
        except TimeoutError:
            if self._call.others_answered:
                _log.warning("database busy: no connection came free")
                raise DatabaseBusy(retry_after=1) from None
            raise self._away("no connection came free", waited=self.left > BUDGET - WAIT - LATE) from None
        self._has_place = True
        self._timer = asyncio.get_running_loop().call_later(self.left, self._give_up)

    async def _done[T](self, ask: Callable[[Driver], Coroutine[Any, Any, T]], *, last: bool) -> T:
        try:
            if self.driver is None:
                self.driver = await self._connect()
            return await ask(self.driver)
        finally:
            if last and (self.driver is None or self.driver.is_idle):
                await self._put_down()

    async def _put_down(self) -> None:
        """Give back the connection and the place."""
        driver, self.driver, self._has_place = self.driver, None, False
        if self._timer is not None:
            self._timer.cancel()
        try:
            if driver is not None:
                await self._way.pool.give_back(driver)
        finally:
            self._way.places.give_back()

    async def _connect(self) -> Driver:
        try:
            driver = await self._way.pool.take()
        except psycopg.Error as error:
            raise as_sqlalchemys(error, "", self._way.pool.dialect, lost=True) from error
        except asyncio.CancelledError:
            if self._expired:
                raise TimeoutError from None
            raise
        self.encrypted = bool(driver.pgconn.ssl_in_use)
        return driver

    async def _judged[T](self, work: Coroutine[Any, Any, T]) -> T:
        self._busy = True
        try:
            return await work
        except Exception as error:
            if is_lost(error):
                waited = is_silence(error) or (self._expired and self.left > -LATE)
                raise self._away(reason(error), waited=waited) from error
            if is_answer(error):
                self.answered()
            raise
        finally:
            self._busy = False

    def _away(self, why: str, *, waited: bool) -> DatabaseUnavailable:
        _log.warning("database unavailable: %s", why)
        if self._call.failed(waited=waited):
            self._way.places.let_go()
        return DatabaseUnavailable(retry_after=self._way.breaker.retry_after)

    def _give_up(self) -> None:
        self._expired = self._busy
        if self.driver is not None:
            self.driver.hang_up()
        elif self._work is not None:
            self._work.cancel()
