"""What a failed statement says of itself."""

from typing import Final

import psycopg
from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from lib.errors import ParleyError


def as_sqlalchemys(error: psycopg.Error, sql: str, dialect: Dialect, *, lost: bool) -> Exception:
    """Return an error of the driver's as SQLAlchemy's of that name, without parameters.

    Args:
        error: psycopg's.
        sql: the statement.
        dialect: in which it is written.
        lost: whether the connection is gone.
    """
    return DBAPIError.instance(
        *(sql, None, error, psycopg.Error), hide_parameters=True, connection_invalidated=lost, dialect=dialect
    )


def is_passing(error: Exception) -> bool:
    """Tell a statement that got in another's way, and may be said again, from one that Postgres never takes."""
    fault = getattr(error, "orig", None)
    return isinstance(fault, psycopg.OperationalError) and not is_too_much(fault)


def is_too_much(fault: BaseException | None) -> bool:
    """Say whether a statement went beyond what Postgres can do (SQLSTATE class 54), as it would the next time.

    psycopg files these faults with lost connections.
    """
    return isinstance(fault, psycopg.Error) and (fault.sqlstate or "").startswith("54")


def is_lost(error: Exception) -> bool:
    """Tell a server that is away from a statement that it refused."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, TimeoutError)
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
