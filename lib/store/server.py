"""What Postgres says of itself, for whoever checks an environment."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from lib.db.session import Connection


@dataclass(frozen=True, slots=True)
class Server:
    """A Postgres server, as one connection sees it.

    Attributes:
        version: such as `18.1`.
        now: its clock.
        encrypted: whether this connection is.
    """

    version: str
    now: datetime
    encrypted: bool


async def describe(connection: Connection) -> Server:
    """Return what the server at the other end of this connection is."""
    row = (await connection.execute(_DESCRIPTION)).one()
    return Server(version=row.version, now=row.now, encrypted=connection.errand.encrypted)


_DESCRIPTION = text("SELECT current_setting('server_version') AS version, clock_timestamp() AS now")
