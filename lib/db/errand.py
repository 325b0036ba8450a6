"""An errand to Postgres: a place, a connection and what is asked on it, within one budget of time.

An errand outlives its request. What a request has begun on a connection is brought to its end also when the request is
cancelled: to have a server give up a statement takes a connection more, and longer than most statements.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import psycopg
from sqlalchemy import Dialect

from lib.breaker import Breaker, Call
from lib.db.driver import Driver
from lib.db.exchange import Asked, Said
from lib.db.faults import as_sqlalchemys, is_answer, is_lost, is_silence, reason
from lib.db.places import LetGo, Places
from lib.db.pool import Pool
from lib.db.tenant import Preface
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
        busy: the errands on which something is asked, also when nobody waits for it.
    """

    pool: Pool
    places: Places
    breaker: Breaker
    recovered: Callable[[], None] | None
    busy: "set[Errand]" = field(default_factory=set["Errand"])


class Errand:
    """One errand. It has to `end`."""

    def __init__(self, way: Way, call: Call) -> None:
        """Set out: the budget runs from here."""
        self.encrypted = False
        self._driver: Driver | None = None
        self._way = way
        self._call = call
        self._until = time.monotonic() + BUDGET
        self._has_place = False
        self._has_ended = False
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._rests = asyncio.Event()
        self._rests.set()

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's, in which statements are written."""
        return self._way.pool.dialect

    @property
    def left(self) -> float:
        """Seconds left of the budget."""
        return self._until - time.monotonic()

    async def ask(
        self, statement: Asked, preface: Preface | None, *, ahead: Callable[[], Sequence[Asked]], last: bool
    ) -> Said:
        """Ask something on a connection, which is brought to its end also when whoever wants to know is cancelled.

        Args:
            statement: what is asked.
            preface: what goes before it.
            ahead: returns what goes before that, in the moment of asking.
            last: whether to give the connection and the place back at once, unless a transaction is left open; else
                they are kept for what is asked next.

        Raises:
            DatabaseBusy: no place came free, while others were served.
            DatabaseUnavailable: none came free, and nobody was served; or the breaker opened meanwhile; or there is no
                connection to be had, it was lost, or the budget ran out.
            DBAPIError: the server refused the statement.
            Unauthenticated, Forbidden: the preface did.
        """
        await self._rests.wait()
        if not self._has_place:
            await self._take_place()
        told = asyncio.get_running_loop().create_future()
        settle = partial(self._settle, told, statement, last=last)

        def send(driver: Driver) -> None:
            self.encrypted = driver.encrypted
            driver.ask(statement, preface, settle, ahead=ahead())

        self._rests.clear()
        self._way.busy.add(self)
        self._driver = self._driver or self._way.pool.kept()
        if self._driver is not None:
            send(self._driver)
        else:
            self._connecting = at_once(self._connect(send, settle))
        return await told

    async def comes_to_rest(self) -> None:
        """Wait until nothing is asked."""
        await self._rests.wait()

    def unfit(self, error: Exception) -> DatabaseUnavailable:
        """Return what to raise for a server that answers, and is not fit to serve us."""
        return self._away(reason(error), waited=False)

    def end(self) -> None:
        """Give back what is not given back yet; later, when a request is cancelled in the middle of something."""
        self._has_ended = True
        if self._has_place and self._rests.is_set():
            self._put_down()

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

    async def _connect(self, send: Callable[[Driver], None], settle: Callable[[Said | Exception], None]) -> None:
        try:
            self._driver = await self._way.pool.new()
        except asyncio.CancelledError:
            if self._expired:
                settle(TimeoutError())
                return
            self._rest()  # the event loop ends, and with it whoever asked
            raise
        except Exception as error:
            settle(error)
        else:
            send(self._driver)

    def _settle(self, told: asyncio.Future[Said], statement: Asked, said: Said | Exception, *, last: bool) -> None:
        """Take what came of a statement, give back what nobody needs any more, and tell who asked, if they still wait.

        The connection goes to the next who waits for one before anybody hears of the answer.
        """
        outcome = self._judged(said, statement)
        self._rest()
        if self._has_ended or (last and (self._driver is None or self._driver.is_idle)):
            self._put_down()
        if told.cancelled():
            return
        if isinstance(outcome, Said):
            told.set_result(outcome)
        else:
            told.set_exception(outcome)
            told.exception()  # who is cancelled in this very moment does not hear of it, and asyncio need not complain

    def _judged(self, said: Said | Exception, statement: Asked) -> Said | Exception:
        """Return what was said as who asked is to have it, and tell the breaker what that says of the server."""
        if isinstance(said, Said):
            self._answered()
            return said
        fault = said
        if isinstance(said, psycopg.Error):
            lost = self._driver is None or self._driver.closed
            if lost and self._driver is not None:
                self._way.pool.distrust()  # those that were made before may be gone, too
            fault = as_sqlalchemys(said, statement[0].decode(), self.dialect, lost=lost)
            fault.__cause__ = said
        if is_lost(fault):
            waited = is_silence(fault) or (self._expired and self.left > -LATE)
            away = self._away(reason(fault), waited=waited)
            away.__cause__ = fault
            return away
        if is_answer(fault):
            self._answered()
        return fault

    def _rest(self) -> None:
        self._rests.set()
        self._way.busy.discard(self)

    def _answered(self) -> None:
        """Note that Postgres answered."""
        if self._call.answered() and self._way.recovered:
            self._way.recovered()

    def _put_down(self) -> None:
        """Give back the connection and the place."""
        driver, self._driver, self._has_place = self._driver, None, False
        if self._timer is not None:
            self._timer.cancel()
        try:
            if driver is not None:
                self._way.pool.give_back(driver)
        finally:
            self._way.places.give_back()

    def _away(self, why: str, *, waited: bool) -> DatabaseUnavailable:
        _log.warning("database unavailable: %s", why)
        if self._call.failed(waited=waited):
            self._way.places.let_go()
        return DatabaseUnavailable(retry_after=self._way.breaker.retry_after)

    def _give_up(self) -> None:
        self._expired = not self._rests.is_set()
        if self._driver is not None:
            self._driver.hang_up()
        elif self._connecting is not None:
            self._connecting.cancel()
