"""The tables, as the migrations make them (a test compares the two).

Every row of a tenant carries `team_id`. Identifiers are UUIDv7, made by the application.
"""

from lib.db.tables.base import HEAD, metadata
from lib.db.tables.conversations import agents, conversations, interaction_logs, messages, stream_events, turn_keys
from lib.db.tables.identity import (
    api_keys,
    password_resets,
    rate_limits,
    recovery_codes,
    second_factors,
    security_events,
    sessions,
)
from lib.db.tables.people import teams, users, workspace_members, workspaces

__all__ = [
    "HEAD",
    "agents",
    "api_keys",
    "conversations",
    "interaction_logs",
    "messages",
    "metadata",
    "password_resets",
    "rate_limits",
    "recovery_codes",
    "second_factors",
    "security_events",
    "sessions",
    "stream_events",
    "teams",
    "turn_keys",
    "users",
    "workspace_members",
    "workspaces",
]
