"""psycopg's connection, which has a preface go ahead of a tenant's statement."""

from collections.abc import Sequence
from typing import Any, Final, Self

import psycopg
from psycopg.pq import TransactionStatus

from lib.db.exchange import Asked, Exchange, Said
from lib.db.tenant import Preface


class Driver(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection that sends a statement and its preface as one: one round trip for both.

    It has statements prepared that come again, where one server answers all of them: that spares Postgres most of a
    turn's work, which is to understand and to plan it. A pooler in transaction mode gives each transaction another
    server, and is known by naming another process at the log-in than the one that answers.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take the connection that libpq has made."""
        super().__init__(*arguments, **options)
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

    async def rollback(self) -> None:
        """Roll back, where there is anything to roll back: SQLAlchemy asks twice for each connection it gives back."""
        if not self.is_idle:
            await super().rollback()

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


def is_unfit(error: BaseException | None) -> bool:
    """Say whether a server answers, and is not fit to serve us.

    It takes no writes, as during a failover; it gives our role no rights; it has no tables yet, or older ones than the
    code's, or no role for tenants. A write that the wall refuses for being another tenant's is a fault of ours.
    """
    function = getattr(getattr(error, "diag", None), "source_function", None)
    if isinstance(error, psycopg.errors.InvalidParameterValue):
        return function == "call_string_check_hook"  # of the setting `role`
    return isinstance(error, _UNFIT) and function != "ExecWithCheckOptions"


_UNFIT: Final = (
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
)
