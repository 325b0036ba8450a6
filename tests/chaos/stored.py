"""What the database holds of a seed, read past everything of ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows. `messages` are in the order of their ids, each with the `said` of its first part."""

    conversations: dict[UUID, Row]
    messages: dict[UUID, Row]
    logs: Sequence[Row]

    def answers_to(self, marker: str) -> list[Row]:
        """Return the answers to a question."""
        asked = {row["id"] for row in self.questions(marker)}
        return [row for row in self.messages.values() if row["role"] == "assistant" and row["parent_id"] in asked]

    def questions(self, marker: str) -> list[Row]:
        """Return the rows of a question."""
        return [row for row in self.messages.values() if row["role"] == "user" and f"({marker})" in row["said"]]


class Books:
    """A connection of our own to Postgres itself."""

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: str) -> "Books":
        """Connect."""
        return cls(await psycopg.AsyncConnection[Row].connect(url, autocommit=True, row_factory=dict_row))

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def rows(self, query: str, *parameters: object) -> list[Row]:
        """Run a statement and return its rows."""
        cursor = await self._connection.execute(query.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []

    async def found_team(self, slug: str) -> UUID:
        """Make a team."""
        (made,) = await self.rows("INSERT INTO teams (name, slug) VALUES ('Team', %s) RETURNING id", slug)
        return made["id"]

    async def streaming(self, seed: int, teams: Sequence[UUID]) -> int:
        """Return how many answers of a seed are being written, or were."""
        (found,) = await self.rows(_OF_A_SEED + _STREAMING, list(teams), f"%({seed}.%")
        return found["answers"]

    async def let_time_pass(self, seed: int, teams: Sequence[UUID]) -> None:
        """Make every answer that is still open an hour older: what a killed server leaves is closed by its age."""
        await self.rows(_OF_A_SEED + _OLDER, list(teams), f"%({seed}.%")

    async def read(self, seed: int, teams: Sequence[UUID]) -> Stored:
        """Return all that there is of a seed: in its teams, or wherever one of its questions is."""
        parameters = (list(teams), f"%({seed}.%")
        conversations = await self.rows(_OF_A_SEED + _CONVERSATIONS, *parameters)
        messages = await self.rows(_OF_A_SEED + _MESSAGES, *parameters)
        logs = await self.rows(_OF_A_SEED + _LOGS, *parameters, list(teams))
        return Stored({row["id"]: row for row in conversations}, {row["id"]: row for row in messages}, logs)


_OF_A_SEED = """
    WITH its AS (
        SELECT id FROM conversations WHERE team_id = ANY(%s)
        UNION SELECT conversation_id FROM messages WHERE role = 'user' AND parts #>> '{0,text}' LIKE %s
    )
"""
_STREAMING = "SELECT count(*) AS answers FROM messages JOIN its ON conversation_id = its.id WHERE status = 'streaming'"
_OLDER = """
    , aged AS (
        UPDATE messages SET created_at = now() - interval '1 hour' FROM its
        WHERE conversation_id = its.id AND status = 'streaming'
    )
    UPDATE conversations SET busy_until = now() - interval '1 hour' FROM its
    WHERE conversations.id = its.id AND busy_until IS NOT NULL
"""
_CONVERSATIONS = "SELECT conversations.* FROM conversations JOIN its USING (id)"
_MESSAGES = """
    SELECT messages.*, coalesce(parts #>> '{0,text}', '') AS said
    FROM messages JOIN its ON conversation_id = its.id ORDER BY messages.id
"""
_LOGS = "SELECT * FROM interaction_logs WHERE conversation_id IN (SELECT id FROM its) OR team_id = ANY(%s)"
