"""Where turns wait while the database is away: sealed, one object each, in object storage."""

from lib.spool.spool import Spool

__all__ = ["Spool"]
