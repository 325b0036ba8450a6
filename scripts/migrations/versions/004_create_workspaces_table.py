"""Create the tables of workspaces and their members, and an index of the messages that are being written."""

import sqlalchemy as sa
from alembic import op

revision: str = "004"
down_revision: str | None = "003"


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "workspaces",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("team_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, server_default=sa.text("''"), nullable=False),
        sa.Column("created_by", sa.Uuid),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_workspaces"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_workspaces_team_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_workspaces_created_by", ondelete="SET NULL"),
    )
    op.create_index("ix_workspaces_team_id", "workspaces", ["team_id"])
    op.create_index("ix_workspaces_created_by", "workspaces", ["created_by"])
    op.create_table(
        "workspace_members",
        sa.Column("workspace_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("team_id", sa.Uuid, nullable=False),
        sa.Column("role", sa.Text, server_default=sa.text("'MEMBER'"), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", name="pk_workspace_members"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_workspace_members_workspace_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_workspace_members_user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_workspace_members_team_id", ondelete="CASCADE"),
        sa.CheckConstraint("role IN ('OWNER', 'MEMBER', 'GUEST')", name=op.f("ck_workspace_members_role")),
    )
    op.create_index("ix_workspace_members_user_id", "workspace_members", ["user_id"])
    op.create_index("ix_workspace_members_team_id", "workspace_members", ["team_id"])
    op.add_column("conversations", sa.Column("workspace_id", sa.Uuid))
    op.create_foreign_key(
        "fk_conversations_workspace_id", "conversations", "workspaces", ["workspace_id"], ["id"], ondelete="SET NULL"
    )
    op.create_index(
        "ix_conversations_workspace_id",
        "conversations",
        ["workspace_id"],
        postgresql_where=sa.text("workspace_id IS NOT NULL"),
    )
    op.create_index(
        "ix_messages_streaming", "messages", ["created_at"], postgresql_where=sa.text("status = 'streaming'")
    )


def downgrade() -> None:
    """Take it back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_messages_streaming", "messages")
    op.drop_column("conversations", "workspace_id")
    op.drop_table("workspace_members")
    op.drop_table("workspaces")
