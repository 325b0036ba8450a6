"""What a model called a conversation."""

from uuid import UUID

from sqlalchemy import text

from lib.db.session import Connection


async def set_title(connection: Connection, conversation_id: UUID, team_id: UUID, title: str) -> bool:
    """Name a conversation that is still called by its first question; return whether it was."""
    parameters = {"id": conversation_id, "team_id": team_id, "title": title}
    return (await connection.execute(_NAME, parameters)).rowcount == 1


_NAME = text("""
    UPDATE conversations SET title = :title, titled_by = 'model'
    WHERE id = :id AND team_id = :team_id AND titled_by = 'question'
""")
