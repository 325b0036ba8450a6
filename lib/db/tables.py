"""The tables, as the migrations make them (a test compares the two).

Every row of a tenant carries `team_id`. Identifiers are UUIDv7, made by the application.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

HEAD: Final = "005"
"""The newest migration that this code knows. A database behind it lacks something; one ahead of it does not."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _created_at() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()"))


def _team_id() -> Column[object]:
    return Column("team_id", Uuid, ForeignKey("teams.id", ondelete="CASCADE"), nullable=False)


teams = Table(
    "teams",
    metadata,
    # The one id the database may make itself: operators add teams with psql.
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False, unique=True),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    _created_at(),
)

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    _team_id(),
    Column("email", Text, nullable=False),
    # Null for an account that has no password and signs in by its address alone, where that is allowed.
    Column("password_hash", Text),
    Column("role", Text, nullable=False, server_default=text("'user'")),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    _created_at(),
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
    _team_id(),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("created_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    _created_at(),
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
    _team_id(),
    Column("role", Text, nullable=False, server_default=text("'MEMBER'")),
    Column("joined_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    CheckConstraint("role IN ('OWNER', 'MEMBER', 'GUEST')", name="role"),
    Index(None, "user_id"),
    Index(None, "team_id"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Uuid, primary_key=True),
    _team_id(),
    # Null for a guest's: it is in nobody's history.
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE")),
    Column("title", Text, nullable=False),
    _created_at(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    # Null for one in no workspace.
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="SET NULL")),
    Index("ix_conversations_newest", "user_id", text("updated_at DESC"), text("id DESC")),
    Index(None, "team_id"),
    Index("ix_conversations_workspace_id", "workspace_id", postgresql_where=text("workspace_id IS NOT NULL")),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    _team_id(),
    Column("conversation_id", Uuid, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    # A list of typed parts, such as {"type": "text", "text": ...}.
    Column("parts", JSONB, nullable=False),
    _created_at(),
    CheckConstraint("role IN ('user', 'assistant')", name="role"),
    CheckConstraint("status IN ('streaming', 'complete', 'interrupted', 'failed')", name="status"),
    # Without this order a prepared statement may walk the primary key backwards (2.9 ms against .02).
    Index(None, "conversation_id", "id"),
    Index(None, "team_id"),
    # For the job that closes what a killed function left; it holds only the answers that are being written.
    Index("ix_messages_streaming", "created_at", postgresql_where=text("status = 'streaming'")),
)

interaction_logs = Table(
    "interaction_logs",
    metadata,
    Column("id", Uuid, primary_key=True),
    _team_id(),
    # A log outlives what it tells of, so these three are no foreign keys that would take it along.
    Column("user_id", Uuid),
    Column("conversation_id", Uuid, nullable=False),
    Column("message_id", Uuid, nullable=False),
    Column("model", Text),
    Column("outcome", Text, nullable=False),
    Column("error_code", Text),
    Column("retrieval", Text),
    Column("passages", Integer, nullable=False, server_default=text("0")),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("first_token_ms", Integer),
    Column("total_ms", Integer),
    _created_at(),
    CheckConstraint("outcome IN ('complete', 'interrupted', 'failed')", name="outcome"),
    Index(None, "team_id", "created_at"),
)


def _of_user() -> tuple[Column[object], ...]:
    """Return what begins a table whose rows are a user's."""
    return (
        Column("id", Uuid, primary_key=True),
        _team_id(),
        Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        _created_at(),
    )


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("now()"))


sessions = Table(
    "sessions",
    metadata,
    *_of_user(),
    _now("rotated_at"),
    _now("last_used_at"),
    # How often the refresh token was exchanged. The token itself is nowhere.
    Column("generation", Integer, nullable=False, server_default=text("0")),
    Column("device", Text),
    Column("address", Text),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    Index(None, "user_id"),
    Index(None, "team_id"),
)

second_factors = Table(
    "second_factors",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    _team_id(),
    Column("sealed_secret", LargeBinary, nullable=False),
    _created_at(),
    # Null until a code has shown that the user's device has the secret.
    Column("confirmed_at", DateTime(timezone=True)),
    # The time step of the newest code that was taken: no code is taken twice, nor an older one after it.
    Column("last_step", BigInteger, nullable=False, server_default=text("0")),
    Index(None, "team_id"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("code_hash", LargeBinary, primary_key=True),
    _team_id(),
    _created_at(),
    Column("used_at", DateTime(timezone=True)),
    Index(None, "team_id"),
)

password_resets = Table(
    "password_resets",
    metadata,
    *_of_user(),
    Column("token_hash", LargeBinary, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
    Index(None, "user_id"),
    Index(None, "team_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    *_of_user(),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("last_used_at", DateTime(timezone=True)),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    CheckConstraint("scopes <@ ARRAY['chat', 'read', 'admin']", name="scopes"),
    Index(None, "user_id"),
    Index(None, "team_id"),
)

security_events = Table(
    "security_events",
    metadata,
    Column("id", Uuid, primary_key=True),
    _team_id(),
    # An event outlives the accounts it tells of. `actor_id` is who did it, where that is somebody else.
    Column("user_id", Uuid),
    Column("actor_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("address", Text),
    Column("device", Text),
    _created_at(),
    Index("ix_security_events_team_id_id", "team_id", "id"),
    # For the events of a kind that is rare, which one would look for among all of the team.
    Index("ix_security_events_team_id_kind_id", "team_id", "kind", "id"),
    Index(None, "user_id"),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    # What is limited and for whom, such as `login:address:192.0.2.1`; nobody's row, so no wall stands around it.
    Column("key", Text, primary_key=True),
    Column("hits", Integer, nullable=False),
    _now("began_at"),
)
