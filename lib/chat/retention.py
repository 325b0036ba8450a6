"""What to drop: a user keeps the newest conversations."""

import logging
from uuid import UUID

from lib.db.session import Database
from lib.db.tenant import Tenant
from lib.errors import DatabaseBusy, DatabaseUnavailable
from lib.store import retention

_log = logging.getLogger("parley.chat")


async def retain(database: Database, *, team_id: UUID, user_id: UUID, newest: int) -> None:
    """Drop the user's conversations beyond the newest; never fail the turn it runs after. The next one tries again."""
    try:
        async with database.one_statement(Tenant(team_id)) as connection:
            dropped = await retention.retain_newest(connection, team_id=team_id, user_id=user_id, default=newest)
    except (DatabaseUnavailable, DatabaseBusy) as error:
        _log.warning("retention skipped: %s", error.code)
    except Exception:
        _log.exception("retention failed")
    else:
        if dropped:
            _log.info("retention dropped %d conversations", dropped)
