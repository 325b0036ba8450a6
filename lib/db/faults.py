"""What a failed statement says of itself."""

import psycopg


def is_passing(error: Exception) -> bool:
    """Tell a statement that got in another's way, and may be said again, from one that Postgres never takes."""
    fault = getattr(error, "orig", None)
    return isinstance(fault, psycopg.OperationalError) and not is_too_much(fault)


def is_too_much(fault: BaseException | None) -> bool:
    """Say whether a statement went beyond what Postgres can do (SQLSTATE class 54), as it would the next time.

    psycopg files these faults with lost connections.
    """
    return isinstance(fault, psycopg.Error) and (fault.sqlstate or "").startswith("54")
