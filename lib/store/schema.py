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
        walled_out: whether the role that we log in as sees no team at all, or may not become a tenant.
    """

    version: str | None
    read_only: bool
    walled_out: bool


async def state(connection: Connection) -> State:
    """Return the state of the database."""
    try:
        row = (await connection.execute(_STATE)).one()
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.UndefinedTable):
            raise
        return State(version=None, read_only=False, walled_out=False)
    return State(row.version, row.read_only, row.walled_out)


_STATE = text("""
    SELECT (SELECT max(version_num) FROM alembic_version) AS version,
        current_setting('transaction_read_only') = 'on' AS read_only,
        NOT EXISTS (SELECT FROM teams) OR NOT EXISTS (
            SELECT FROM pg_roles WHERE rolname = 'parley_tenant' AND pg_has_role(oid, 'MEMBER')
        ) AS walled_out
""")
