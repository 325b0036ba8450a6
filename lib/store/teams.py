"""Teams: the tenants."""

from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert

from lib.db.session import Connection
from lib.db.tables import teams
from lib.ids import DEFAULT_TEAM_ID, as_uuid


async def find_id(connection: Connection, slug_or_id: str) -> UUID | None:
    """Return the id of the team that has this slug or this id, or None."""
    statement = select(teams.c.id).where(or_(teams.c.slug == slug_or_id, teams.c.id == as_uuid(slug_or_id)))
    return (await connection.execute(statement)).scalar_one_or_none()


async def keep_default(connection: Connection, slug: str) -> None:
    """Make the default team, or give it this slug when it has another."""
    statement = insert(teams).values(id=DEFAULT_TEAM_ID, name="Default", slug=slug)
    await connection.execute(statement.on_conflict_do_update(index_elements=[teams.c.id], set_={"slug": slug}))
