"""psycopg's connection, which has a preface go ahead of a tenant's statement."""

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus

from lib.db.exchange import Asked, Exchange, Said
from lib.db.tenant import Preface


class Driver(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection that sends a statement and its preface as one: one round trip for both.

    It has statements prepared that come again, where one server answers all of them: that spares Postgres most of a
    turn's work, which is to understand and to plan it. A pooler in transaction mode gives each transaction another
    server, and is known by naming another process at the log-in than the one that answers.

    Attributes:
        since: when it was made, by the monotonic clock.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take the connection that libpq has made."""
        super().__init__(*arguments, **options)
        self.since = time.monotonic()
        self._exchange = Exchange(self)
        self._prepares = False

    async def ask(self, statement: Asked, preface: Preface | None, *, ahead: Sequence[Asked] = ()) -> Said:
        """Run a statement, behind its preface, if it has one, and `ahead` of that what is to hold for both.

        Raises:
            Unauthenticated, Forbidden: the preface says so. The statement, behind the wall, did nothing.
            psycopg.Error: the server refuses the statement, or is gone.
        """
        asked = (*ahead, statement) if preface is None else (*ahead, preface.asked, statement)
        async with self.lock:
            *before, told = await self.wait(self._exchange.ask(*asked, prepares=self._prepares))
        found = [_unless_error(each) for each in before]
        if preface is not None:  # of a write that the wall refused, what the preface found is the reason
            role, server, *_ = found[-1].rows[0]
            self._prepares = server == self.pgconn.backend_pid
            preface.judge(role)
        return _unless_error(told)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked, and no transaction open."""
        return self.pgconn.transaction_status == TransactionStatus.IDLE

    def hang_up(self) -> None:
        """Shut the socket of a connection that is silent for too long; psycopg then sees that the server is gone.

        Cancelling the wait instead would have psycopg ask the silent server to cancel the query, for seconds more.
        """
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
