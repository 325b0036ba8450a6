"""Teams: the tenants."""

from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from lib.db.tables import teams


async def find_id(connection: AsyncConnection, slug_or_id: str) -> UUID | None:
    """Return the id of the team that has this slug or this id, or None."""
    statement = select(teams.c.id).where(or_(teams.c.slug == slug_or_id, teams.c.id == _as_id(slug_or_id)))
    return (await connection.execute(statement)).scalar_one_or_none()


def _as_id(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
