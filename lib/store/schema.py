"""The schema itself: which migration ran last."""

from dataclasses import dataclass

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from lib.db.session import Connection


@dataclass(frozen=True, slots=True)
class State:
    """What a database says of itself.

    Attributes:
        version: the newest migration it has had, or None when it has had none.
        read_only: whether it takes no writes, as a standby or one whose disk is full.
    """

    version: str | None
    read_only: bool


async def state(connection: Connection) -> State:
    """Return the state of the database."""
    try:
        row = (await connection.execute(_STATE)).one()
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.UndefinedTable):
            raise
        return State(version=None, read_only=False)
    return State(version=row.version, read_only=row.read_only)


_STATE = text("""
    SELECT (SELECT max(version_num) FROM alembic_version) AS version,
        current_setting('transaction_read_only') = 'on' AS read_only
""")
