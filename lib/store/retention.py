"""What is dropped of a user's conversations."""

from uuid import UUID

from sqlalchemy import text

from lib.db.session import Connection


async def retain_newest(connection: Connection, *, team_id: UUID, user_id: UUID, default: int) -> int:
    """Delete the user's conversations beyond the newest ones that are not pinned; return how many went.

    One that is being answered stays until the next time: its answer is promised to somebody.

    The team's `settings.retention_conversations` wins over `default`; 0 keeps all.
    """
    dropped = await connection.execute(_RETAIN, {"team_id": team_id, "user_id": user_id, "default": default})
    return dropped.rowcount


_RETAIN = text("""
    WITH keep AS (
        SELECT CASE jsonb_typeof(settings -> 'retention_conversations')
            WHEN 'number' THEN CAST(least(CAST(settings ->> 'retention_conversations' AS numeric), 1e9) AS integer)
            ELSE :default
        END AS newest
        FROM teams WHERE id = :team_id
    )
    DELETE FROM conversations USING keep
    WHERE keep.newest > 0 AND coalesce(busy_until < now(), true) AND conversations.id IN (
        SELECT id FROM conversations
        WHERE team_id = :team_id AND user_id = :user_id AND NOT is_pinned
        ORDER BY updated_at DESC, id DESC
        OFFSET (SELECT greatest(newest, 0) FROM keep)
    )
""")
