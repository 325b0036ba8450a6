"""How one signs in, and what happened."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from lib.db.tables.base import created_at, metadata, now, of_user, team_id

sessions = Table(
    "sessions",
    metadata,
    *of_user(),
    now("rotated_at"),
    now("last_used_at"),
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
    team_id(),
    Column("sealed_secret", LargeBinary, nullable=False),
    created_at(),
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
    team_id(),
    created_at(),
    Column("used_at", DateTime(timezone=True)),
    Index(None, "team_id"),
)

password_resets = Table(
    "password_resets",
    metadata,
    *of_user(),
    Column("token_hash", LargeBinary, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
    Index(None, "user_id"),
    Index(None, "team_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    *of_user(),
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
    team_id(),
    # An event outlives the accounts it tells of. `actor_id` is who did it, where that is somebody else.
    Column("user_id", Uuid),
    Column("actor_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("address", Text),
    Column("device", Text),
    created_at(),
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
    now("began_at"),
)
