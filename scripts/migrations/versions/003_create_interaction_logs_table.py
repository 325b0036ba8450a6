"""Create the table of interaction logs."""

import sqlalchemy as sa
from alembic import op

revision: str = "003"
down_revision: str | None = "002"


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "interaction_logs",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("team_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("conversation_id", sa.Uuid, nullable=False),
        sa.Column("message_id", sa.Uuid, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("retrieval", sa.Text),
        sa.Column("passages", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("input_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("first_token_ms", sa.Integer),
        sa.Column("total_ms", sa.Integer),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_interaction_logs"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_interaction_logs_team_id", ondelete="CASCADE"),
        sa.CheckConstraint(
            "outcome IN ('complete', 'interrupted', 'failed')", name=op.f("ck_interaction_logs_outcome")
        ),
    )
    op.create_index("ix_interaction_logs_team_id_created_at", "interaction_logs", ["team_id", "created_at"])


def downgrade() -> None:
    """Take it back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("interaction_logs")
