"""Agents, conversations, and what becomes of a turn."""

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from lib.db.tables.base import created_at, metadata, team_id

agents = Table(
    "agents",
    metadata,
    Column("id", Uuid, primary_key=True),
    team_id(),
    Column("created_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("kind", Text, nullable=False),
    Column("webhook_url", Text),
    Column("sealed_webhook_token", LargeBinary),
    Column("provider", Text),
    Column("model", Text),
    Column("base_url", Text),
    Column("sealed_api_key", LargeBinary),
    Column("system_prompt", Text, nullable=False, server_default=text("''")),
    Column("config", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    # A data URI, as a user's.
    Column("avatar", Text),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    created_at(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    # A deleted agent answers nobody; the conversations that it had keep its name.
    Column("deleted_at", DateTime(timezone=True)),
    CheckConstraint("kind IN ('webhook', 'model')", name="kind"),
    CheckConstraint("kind <> 'webhook' OR webhook_url IS NOT NULL", name="webhook_url"),
    Index(None, "team_id"),
    Index(None, "created_by"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Uuid, primary_key=True),
    team_id(),
    # Null for a guest's: it is in nobody's history.
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE")),
    Column("title", Text, nullable=False),
    created_at(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    # Null for one in no workspace.
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="SET NULL")),
    # Null where the deployment's own models answer.
    Column("agent_id", Uuid, ForeignKey("agents.id", ondelete="SET NULL")),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("is_archived", Boolean, nullable=False, server_default=text("false")),
    Column("is_pinned", Boolean, nullable=False, server_default=text("false")),
    Column("titled_by", Text, nullable=False, server_default=text("'question'")),
    # The answer that is being written, and until when nobody else may write one.
    Column("answer_id", Uuid),
    Column("busy_until", DateTime(timezone=True)),
    CheckConstraint("titled_by IN ('question', 'model', 'user')", name="titled_by"),
    Index("ix_conversations_newest", "user_id", text("updated_at DESC"), text("id DESC")),
    Index(None, "team_id"),
    Index("ix_conversations_workspace_id", "workspace_id", postgresql_where=text("workspace_id IS NOT NULL")),
    Index("ix_conversations_agent_id", "agent_id", postgresql_where=text("agent_id IS NOT NULL")),
)

_SAID: Final = "left(coalesce(parts #>> '{0,text}', ''), 50000)"

messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    team_id(),
    Column("conversation_id", Uuid, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    # A list of typed parts, such as {"type": "text", "text": ...}.
    Column("parts", JSONB, nullable=False),
    created_at(),
    # Messages of a conversation are a tree. What it follows; null for a first one. No foreign key: they only ever go
    # together, with their conversation.
    Column("parent_id", Uuid),
    # Whether it is on the one path from a first message to a last that the conversation shows, in the order of ids.
    Column("active", Boolean, nullable=False, server_default=text("true")),
    # The passages that the model was given, null where there was no search.
    Column("sources", JSONB),
    Column("retrieval", Text),
    Column("model", Text),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("finished_at", DateTime(timezone=True)),
    Column("error_code", Text),
    Column("feedback", Text),
    Column("feedback_comment", Text),
    Column("stop_requested", Boolean, nullable=False, server_default=text("false")),
    # As the migration has it: stems of English, and words as they are. More than 50,000 characters are not searched.
    Column("search", TSVECTOR, Computed(f"to_tsvector('english', {_SAID}) || to_tsvector('simple', {_SAID})")),
    CheckConstraint("role IN ('user', 'assistant')", name="role"),
    CheckConstraint("status IN ('streaming', 'complete', 'stopped', 'interrupted', 'failed')", name="status"),
    CheckConstraint("feedback IN ('up', 'down')", name="feedback"),
    # Without this order a prepared statement may walk the primary key backwards (2.9 ms against .02).
    Index(None, "conversation_id", "active", "id"),
    # Who else follows the same message: its siblings, and where a branch goes on.
    Index(None, "conversation_id", "parent_id"),
    Index(None, "team_id"),
    # For the job that closes what a killed function left; it holds only the answers that are being written.
    Index("ix_messages_streaming", "created_at", postgresql_where=text("status = 'streaming'")),
)

interaction_logs = Table(
    "interaction_logs",
    metadata,
    Column("id", Uuid, primary_key=True),
    team_id(),
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
    created_at(),
    Column("agent_id", Uuid),
    # What it cost by the price table of its time; null where nobody knows.
    Column("cost_usd", Numeric(14, 8)),
    CheckConstraint("outcome IN ('complete', 'stopped', 'interrupted', 'failed')", name="outcome"),
    Index(None, "team_id", "created_at"),
    Index(None, "user_id", "created_at"),
)

stream_events = Table(
    "stream_events",
    metadata,
    # What an answer that is being written has come to, in batches. Its events are MessagePack (`lib/chat/replay.py`).
    Column("message_id", Uuid, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    team_id(),
    Column("events", LargeBinary, nullable=False),
    created_at(),
    Index(None, "team_id"),
    prefixes=["UNLOGGED"],
)

turn_keys = Table(
    "turn_keys",
    metadata,
    # Whose key it is and the key, hashed; and what was asked with it, so that another question is no retry.
    Column("key_hash", LargeBinary, primary_key=True),
    team_id(),
    Column("body_hash", LargeBinary, nullable=False),
    Column("conversation_id", Uuid, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("answer_id", Uuid, nullable=False),
    created_at(),
    Index(None, "team_id"),
    Index(None, "conversation_id"),
    Index(None, "created_at"),
)
