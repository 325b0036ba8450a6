"""Workspaces: shared spaces inside a team."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import text

from lib.db.session import Connection

DEFAULT_NAME: Final = "Default Workspace"
MOST_CHATS: Final = 50
"""Conversations of a workspace that its summary shows, the newest."""


@dataclass(frozen=True, slots=True)
class ChatSummary:
    """A conversation of a workspace."""

    id: UUID
    name: str
    last_updated: datetime


@dataclass(frozen=True, slots=True)
class WorkspaceSummary:
    """A workspace that a user is in, with the user's own newest conversations there."""

    id: UUID
    name: str
    chats: tuple[ChatSummary, ...]


async def keep_default(connection: Connection, *, workspace_id: UUID, team_id: UUID, user_id: UUID) -> None:
    """Give a user who is in no workspace one of their own."""
    parameters = {"id": workspace_id, "team_id": team_id, "user_id": user_id, "name": DEFAULT_NAME}
    await connection.execute(_KEEP_DEFAULT, parameters)


async def summaries(connection: Connection, *, user_id: UUID) -> tuple[WorkspaceSummary, ...]:
    """Return the workspaces that a user is in, the oldest first."""
    told = (await connection.execute(_SUMMARIES, {"user_id": user_id, "most": MOST_CHATS})).scalar_one()
    return msgspec.json.decode(told, type=tuple[WorkspaceSummary, ...])


# Two at once wait for each other at the user's row; the second finds the membership of the first only in a snapshot of
# its own, so the workspace's id is made of the user's: it is the same for both, and is made once.
_KEEP_DEFAULT = text("""
    WITH made AS (
        INSERT INTO workspaces (id, team_id, name, created_by)
        SELECT :id, :team_id, :name, :user_id
        WHERE NOT EXISTS (SELECT FROM workspace_members WHERE user_id = :user_id)
        ON CONFLICT (id) DO NOTHING RETURNING id, team_id
    )
    INSERT INTO workspace_members (workspace_id, user_id, team_id, role)
    SELECT id, :user_id, team_id, 'OWNER' FROM made
""")

_SUMMARIES = text("""
    SELECT CAST(coalesce(jsonb_agg(jsonb_build_object('id', workspaces.id, 'name', workspaces.name, 'chats', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'name', title, 'last_updated', updated_at)), '[]')
        FROM (
            SELECT id, title, updated_at FROM conversations
            WHERE conversations.workspace_id = workspaces.id AND conversations.user_id = :user_id
            ORDER BY updated_at DESC, id DESC LIMIT :most
        ) AS newest
    )) ORDER BY workspaces.created_at, workspaces.id), '[]') AS text)
    FROM workspaces JOIN workspace_members ON workspace_members.workspace_id = workspaces.id
    WHERE workspace_members.user_id = :user_id AND workspaces.archived_at IS NULL
""")
