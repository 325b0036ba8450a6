"""The workspaces that a log-in by address alone answers with."""

from uuid import UUID, uuid5

from lib.db.session import Database
from lib.db.tenant import Asker, Tenant
from lib.store import workspaces
from lib.store.workspaces import WorkspaceSummary


async def workspaces_of(database: Database, *, team_id: UUID, user_id: UUID) -> tuple[WorkspaceSummary, ...]:
    """Return the workspaces that a user is in, a first one made where there is none.

    Its id is made of the user's, so that two who ask at once make one.

    Raises:
        DatabaseUnavailable: nobody knows.
    """
    async with database.one_statement(Tenant(team_id, Asker(user_id))) as connection:
        await workspaces.keep_default(
            connection, workspace_id=uuid5(user_id, "default workspace"), team_id=team_id, user_id=user_id
        )
        return await workspaces.summaries(connection, user_id=user_id)
