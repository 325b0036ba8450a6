"""Security events: written once, never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select, text

from lib.db.events import EventKind, SecurityEvent, event_insert
from lib.db.session import Connection
from lib.db.tables import security_events

MOST: Final = 200
"""Events of one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEvent(SecurityEvent):
    """An event, and when the database wrote it down."""

    created_at: datetime


async def record(connection: Connection, event: SecurityEvent) -> None:
    """Write an event down. What changes something writes its event in its own statement (`lib.db.events`)."""
    await connection.execute(_RECORD, event.parameters)


async def page(
    connection: Connection,
    *,
    team_id: UUID,
    limit: int,
    after: UUID | None = None,
    kind: EventKind | None = None,
    user_id: UUID | None = None,
) -> tuple[PastEvent, ...]:
    """Return a team's events, the newest first.

    Args:
        connection: of a tenant.
        team_id: whose events they are.
        limit: how many at most.
        after: the id of the last event of the page before.
        kind: of this kind alone.
        user_id: about this account alone.
    """
    statement = select(security_events).where(security_events.c.team_id == team_id)
    if after is not None:
        statement = statement.where(security_events.c.id < after)
    if kind is not None:
        statement = statement.where(security_events.c.kind == kind)
    if user_id is not None:
        statement = statement.where(security_events.c.user_id == user_id)
    newest = statement.order_by(security_events.c.id.desc()).limit(limit)
    return tuple(PastEvent(**row) for row in (await connection.execute(newest)).mappings())


_RECORD = text(event_insert())
