"""Say of each message which one it follows: those written before conversations could branch follow the one before."""

from alembic import op

revision: str = "007"
down_revision: str | None = "006"


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        UPDATE messages SET parent_id = earlier.id
        FROM (SELECT id AS of, lag(id) OVER (PARTITION BY conversation_id ORDER BY id) AS id FROM messages) AS earlier
        WHERE messages.id = earlier.of AND earlier.id IS NOT NULL AND messages.parent_id IS NULL
        """
    )


def downgrade() -> None:
    """Take it back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("UPDATE messages SET parent_id = NULL WHERE parent_id IS NOT NULL")
