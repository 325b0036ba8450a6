"""Teams, their people and their workspaces."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from lib.db.tables.base import created_at, metadata, team_id

teams = Table(
    "teams",
    metadata,
    # The one id the database may make itself: operators add teams with psql.
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False, unique=True),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    created_at(),
)

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    team_id(),
    Column("email", Text, nullable=False),
    # Null for an account that has no password and signs in by its address alone, where that is allowed.
    Column("password_hash", Text),
    Column("role", Text, nullable=False, server_default=text("'user'")),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    created_at(),
    Column("full_name", Text),
    # A data URI, up to 2.8 million characters: lists leave it out.
    Column("avatar", Text),
    Column("preferences", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("last_login_at", DateTime(timezone=True)),
    UniqueConstraint("team_id", "email"),
    CheckConstraint("role IN ('user', 'admin')", name="role"),
    Index(None, "email"),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Uuid, primary_key=True),
    team_id(),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("created_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    created_at(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("archived_at", DateTime(timezone=True)),
    Index(None, "team_id"),
    Index(None, "created_by"),
)

workspace_members = Table(
    "workspace_members",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    team_id(),
    Column("role", Text, nullable=False, server_default=text("'MEMBER'")),
    Column("joined_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    CheckConstraint("role IN ('OWNER', 'MEMBER', 'GUEST')", name="role"),
    Index(None, "user_id"),
    Index(None, "team_id"),
)
