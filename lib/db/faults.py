"""What a failed statement says of itself."""

import psycopg


def is_passing(error: Exception) -> bool:
    """Tell a statement that got in another's way, and may be said again, from one that Postgres never takes."""
    return isinstance(getattr(error, "orig", None), psycopg.OperationalError)
