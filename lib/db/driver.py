"""psycopg, with a preface ahead of a statement."""

from typing import Any, Final, NamedTuple, Self

import psycopg
from psycopg.abc import Params
from psycopg.pq import TransactionStatus

from lib.db.tenant import Preface

PREPARED: Final = 2
"""Times a statement is sent before it is prepared: a function's first are not worth it."""


class Cursor(psycopg.AsyncRawCursor[tuple[Any, ...]]):
    """Sends the connection's preface, if it has one, and the statement in one pipeline: one round trip for both.

    Statements come as they go to the server, with `$1` for a parameter: to look for others in a long text, each time,
    costs more than to send it.
    """

    @property
    def description(self) -> Any:
        """The columns' names and types, all that SQLAlchemy reads. psycopg finds out much more, each time."""
        result = self.pgresult
        if result is None or not result.nfields:
            return None
        encoding = self.connection.info.encoding
        return [
            ((result.fname(at) or b"").decode(encoding), result.ftype(at), None, None, None, None, None)
            for at in range(result.nfields)
        ]

    async def execute(self, query: Any, params: Params | None = None, **options: Any) -> Self:
        """Run a statement.

        Raises:
            Unauthenticated, Forbidden: the preface says so. The statement, behind the wall, did nothing.
        """
        connection = self.connection
        if not isinstance(connection, Driver) or connection.preface is None:
            return await super().execute(query, params, **options)
        preface = connection.preface
        asking = psycopg.AsyncCursor(connection)
        try:
            async with connection.pipeline():
                await asking.execute(preface.sql.encode(), preface.parameters)
                await super().execute(query, params, **options)
        except psycopg.Error:
            # A write that the wall refused: what the preface found is the reason.
            if asking.pgresult is not None and asking.pgresult.ntuples:
                preface.judge((await _found(asking)).role)
            raise
        found = await _found(asking)
        connection.is_served_by(found.server)
        preface.judge(found.role)
        return self

    async def executemany(self, *arguments: Any, **options: Any) -> None:
        """Run a statement for many parameters: never for a tenant, since each would need its preface."""
        self._refuse_a_tenant()
        await super().executemany(*arguments, **options)

    def stream(self, *arguments: Any, **options: Any) -> Any:
        """Read a result row by row: never for a tenant, likewise."""
        self._refuse_a_tenant()
        return super().stream(*arguments, **options)

    def copy(self, *arguments: Any, **options: Any) -> Any:
        """Copy rows in or out: never for a tenant, likewise."""
        self._refuse_a_tenant()
        return super().copy(*arguments, **options)

    def _refuse_a_tenant(self) -> None:
        if isinstance(self.connection, Driver) and self.connection.preface is not None:
            raise psycopg.NotSupportedError("a tenant's statement goes by execute, which takes its preface along")


class Driver(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection whose next statement may have a preface.

    It has statements prepared from the third time on, where one server answers all of them: that spares Postgres most
    of a turn's work, which is to understand and to plan it. A pooler in transaction mode gives each transaction another
    server, and is known by naming another process at the log-in than the one that answers.
    """

    preface: Preface | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Have every cursor look for the preface."""
        super().__init__(*arguments, **options)
        self.cursor_factory = Cursor

    def is_served_by(self, server: int) -> None:
        """Take note of the process that has answered."""
        self.prepare_threshold = PREPARED if server == self.pgconn.backend_pid else None

    async def rollback(self) -> None:
        """Roll back, where there is anything to roll back: SQLAlchemy asks twice for each statement."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
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


class _Found(NamedTuple):
    """What a preface finds: the asker's role, none where the credential does not hold, and who answers."""

    role: str | None
    server: int


async def _found(asking: psycopg.AsyncCursor[tuple[Any, ...]]) -> _Found:
    row = await asking.fetchone()
    assert row is not None  # noqa: S101 - a preface gives one row
    return _Found(row[0], row[1])
