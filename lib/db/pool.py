"""An instance's connections: those that nobody uses are kept, and the one that was used last is used next.

Few connections, no session state, and no round trip spent on asking whether a connection still lives.
"""

import select
import time
from typing import Any, Final

from sqlalchemy import Dialect

from lib.db.driver import Driver
from lib.db.url import psycopg_url

RECYCLE: Final = 240
"""Seconds after which a connection is replaced: below the five minutes after which Neon suspends an idle database."""
CONNECT: Final = 2
"""Seconds one address of the server may take to let us in: psycopg's least, and it leaves time for a second address."""
_CONNECT: Final[dict[str, Any]] = {
    "autocommit": True,
    "prepare_threshold": None,  # what is prepared, and when, is for `lib.db.exchange` to say
    "connect_timeout": CONNECT,
    "keepalives_idle": 30,
    "tcp_user_timeout": 5000,  # a frozen instance wakes up with dead sockets: notice within seconds
    "application_name": "parley",
}


class Pool:
    """The connections of one instance. How many there may be is for `lib.db.places` to say.

    Attributes:
        dialect: SQLAlchemy's, in which statements for them are written.
    """

    def __init__(self, url: str) -> None:
        """Connect to nothing yet."""
        parsed = psycopg_url(url)
        dialect: Any = parsed.get_dialect()
        self.dialect: Dialect = dialect(paramstyle="numeric_dollar")  # as Postgres itself has parameters
        self._arguments = {**self.dialect.create_connect_args(parsed)[1], **_CONNECT}
        self._kept: list[Driver] = []
        self._trusted_since = 0.0

    def kept(self) -> Driver | None:
        """Return a connection that lives, as far as anybody knows, if one is kept; close others on the way.

        As the last used is next, those that nobody needs any more are on the way once it has grown old, too.
        """
        while self._kept:
            driver = self._kept.pop()
            if self._is_good(driver) and not _has_something_to_say(driver):
                return driver
            driver.pgconn.finish()
        return None

    async def new(self) -> Driver:
        """Return a new connection.

        Raises:
            psycopg.Error: there is none to be had.
        """
        return await Driver.connect(**self._arguments)

    def give_back(self, driver: Driver) -> None:
        """Keep a connection; not one that is old, lost, or in the middle of something, which closing it ends."""
        if self._is_good(driver):
            self._kept.append(driver)
        else:
            driver.pgconn.finish()

    def distrust(self) -> None:
        """Replace every connection that was made up to now: one of them was lost, and others may be."""
        self._trusted_since = time.monotonic()

    def close(self) -> None:
        """Close what is kept."""
        while self._kept:
            self._kept.pop().pgconn.finish()

    def _is_good(self, driver: Driver) -> bool:
        return driver.is_idle and driver.since > max(self._trusted_since, time.monotonic() - RECYCLE)


def _has_something_to_say(driver: Driver) -> bool:
    """Say whether a connection is readable: between two statements that is the end of the stream, or words before it.

    Asking the kernel costs microseconds; a ping would cost a round trip.
    """
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN)
    return bool(poll.poll(0))
