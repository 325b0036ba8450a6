"""psycopg's connection, which has a preface go ahead of a tenant's statement."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.waiting import READY_R, READY_W, WAIT_R, WAIT_W, Ready, Wait

from lib.db.exchange import Asked, Exchange, Said
from lib.db.tenant import Preface


class Driver(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection that sends a statement and its preface as one: one round trip for both.

    It has statements prepared that come again, where one server answers all of them: that spares Postgres most of a
    turn's work, which is to understand and to plan it. A pooler in transaction mode gives each transaction another
    server, and is known by naming another process at the log-in than the one that answers.

    Attributes:
        since: when it was made, by the monotonic clock.
        encrypted: whether it goes over TLS.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take the connection that libpq has made."""
        super().__init__(*arguments, **options)
        self.since = time.monotonic()
        self.encrypted = bool(self.pgconn.ssl_in_use)
        self._exchange = Exchange(self)
        self._prepares = False

    def ask(
        self,
        statement: Asked,
        preface: Preface | None,
        then: Callable[[Said | Exception], None],
        *,
        ahead: Sequence[Asked] = (),
    ) -> None:
        """Run a statement, behind its preface, if it has one, and `ahead` of that what is to hold for both.

        The exchange goes on by itself whenever the socket is ready. Neither a task nor a turn of the event loop lies
        between the server's last word and what is to be done `then`, which is told what the server said, or why nothing
        is known of it:

        - `Unauthenticated`, `Forbidden`: the preface says so. The statement, behind the wall, did nothing.
        - `psycopg.Error`: the server refuses the statement, or is gone.
        """
        self._go_on(self._asking(statement, preface, ahead), then)

    def _asking(self, statement: Asked, preface: Preface | None, ahead: Sequence[Asked]) -> PQGen[Said]:
        asked = (*ahead, statement) if preface is None else (*ahead, preface.asked, statement)
        *before, told = yield from self._exchange.ask(*asked, prepares=self._prepares)
        found = [_unless_error(each) for each in before]
        if preface is not None:  # of a write that the wall refused, what the preface found is the reason
            role, server, *_ = found[-1].rows[0]
            self._prepares = server == self.pgconn.backend_pid
            preface.judge(role)
        return _unless_error(told)

    def _go_on(self, asking: PQGen[Said], then: Callable[[Said | Exception], None], ready: Ready | None = None) -> None:
        """Take an exchange as far as it comes without waiting."""
        try:
            wanted = next(asking) if ready is None else asking.send(ready)
            self._watch(wanted, asking, then)
        except StopIteration as end:
            told = end.value
        except Exception as error:
            asking.close()  # and with it the connection, where the exchange is in the middle of something
            told = error
        else:
            return
        then(told)

    def _watch(self, wanted: Wait, asking: PQGen[Said], then: Callable[[Said | Exception], None]) -> None:
        loop, fileno = asyncio.get_running_loop(), self.pgconn.socket
        try:
            if wanted & WAIT_R:
                loop.add_reader(fileno, self._is_ready, fileno, READY_R, asking, then)
            if wanted & WAIT_W:
                loop.add_writer(fileno, self._is_ready, fileno, READY_W, asking, then)
        except OSError as error:
            loop.remove_reader(fileno)
            raise psycopg.OperationalError("the connection cannot be watched") from error

    def _is_ready(
        self, fileno: int, ready: Ready, asking: PQGen[Said], then: Callable[[Said | Exception], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(fileno)
        loop.remove_writer(fileno)
        self._go_on(asking, then, ready)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked, and no transaction open."""
        return self.pgconn.transaction_status == TransactionStatus.IDLE

    def hang_up(self) -> None:
        """Shut the socket of a connection that is silent for too long: its exchange then sees the server gone."""
        if self.closed:
            return
        with socket.socket(fileno=os.dup(self.fileno())) as duplicate, suppress(OSError):
            duplicate.shutdown(socket.SHUT_RDWR)

    @classmethod
    async def connect(cls, *arguments: Any, **options: Any) -> Self:
        """Connect, and leave no half of a connection behind.

        psycopg's own frames hold the socket, and are part of a cycle with the error that they raise: the server would
        be left waiting until the garbage collector comes by.
        """
        try:
            return await super().connect(*arguments, **options)
        except BaseException as error:
            raise error.with_traceback(None)  # noqa: B904 - it is the same


def _unless_error(said: Said | psycopg.Error) -> Said:
    if isinstance(said, psycopg.Error):
        raise said
    return said
