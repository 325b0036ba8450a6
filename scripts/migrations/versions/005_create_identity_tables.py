"""Create the tables of identity, and the wall between tenants.

The wall is row-level security for a role that the application takes on for a tenant's statements: a role that owns
nothing and bypasses nothing, whatever the role is that it logs in as.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision: str = "005"
down_revision: str | None = "004"

_WALLED: Final = {
    "teams": "id",
    "users": "team_id",
    "workspaces": "team_id",
    "workspace_members": "team_id",
    "conversations": "team_id",
    "messages": "team_id",
    "interaction_logs": "team_id",
    "sessions": "team_id",
    "second_factors": "team_id",
    "recovery_codes": "team_id",
    "password_resets": "team_id",
    "api_keys": "team_id",
    "security_events": "team_id",
}
"""The tables that tenants share, and the column that says whose a row is."""

# Roles are the whole server's: another database may have made this one, be making it now, or an administrator, for us.
_TENANT_ROLE: Final = """
DO $$ BEGIN
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'parley_tenant') THEN
            CREATE ROLE parley_tenant NOLOGIN;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
    BEGIN
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            EXECUTE 'GRANT parley_tenant TO ' || quote_ident(current_user);
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    SET LOCAL ROLE parley_tenant;
    RESET ROLE;
END $$
"""


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    _extend_users()
    _create_sessions()
    _create_second_factors()
    _create_resets_and_keys()
    _create_events_and_limits()
    op.execute(_TENANT_ROLE)
    op.execute("GRANT USAGE ON SCHEMA public TO parley_tenant")
    op.execute("GRANT SELECT, INSERT, UPDATE ON rate_limits TO parley_tenant")
    for table, column in _WALLED.items():
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO parley_tenant")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} TO parley_tenant USING "
            f"({column} = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)))"
        )


def _extend_users() -> None:
    # Null for an account that has no password and signs in by its address alone, where that is allowed.
    op.alter_column("users", "password_hash", nullable=True)
    op.add_column("users", sa.Column("full_name", sa.Text))
    op.add_column("users", sa.Column("avatar", sa.Text))
    op.add_column("users", sa.Column("preferences", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False))
    op.add_column("users", sa.Column("last_login_at", sa.DateTime(timezone=True)))


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        *_of_user("sessions"),
        _now("rotated_at"),
        _now("last_used_at"),
        sa.Column("generation", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("device", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_index("ix_sessions_team_id", "sessions", ["team_id"])


def _create_second_factors() -> None:
    op.create_table(
        "second_factors",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("team_id", sa.Uuid, nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary, nullable=False),
        _now("created_at"),
        sa.Column("confirmed_at", sa.DateTime(timezone=True)),
        sa.Column("last_step", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_second_factors"),
        *_owners("second_factors"),
    )
    op.create_index("ix_second_factors_team_id", "second_factors", ["team_id"])
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("code_hash", sa.LargeBinary, nullable=False),
        sa.Column("team_id", sa.Uuid, nullable=False),
        _now("created_at"),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name="pk_recovery_codes"),
        *_owners("recovery_codes"),
    )
    op.create_index("ix_recovery_codes_team_id", "recovery_codes", ["team_id"])


def _create_resets_and_keys() -> None:
    op.create_table(
        "password_resets",
        *_of_user("password_resets"),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_password_resets_user_id", "password_resets", ["user_id"])
    op.create_index("ix_password_resets_team_id", "password_resets", ["team_id"])
    op.create_table(
        "api_keys",
        *_of_user("api_keys"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("scopes <@ ARRAY['chat', 'read', 'admin']", name=op.f("ck_api_keys_scopes")),
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"])
    op.create_index("ix_api_keys_team_id", "api_keys", ["team_id"])


def _create_events_and_limits() -> None:
    op.create_table(
        "security_events",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("team_id", sa.Uuid, nullable=False),
        # An event outlives the accounts it tells of.
        sa.Column("user_id", sa.Uuid),
        sa.Column("actor_id", sa.Uuid),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("detail", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("device", sa.Text),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_security_events"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_security_events_team_id", ondelete="CASCADE"),
    )
    op.create_index("ix_security_events_team_id_id", "security_events", ["team_id", "id"])
    op.create_index("ix_security_events_team_id_kind_id", "security_events", ["team_id", "kind", "id"])
    op.create_index("ix_security_events_user_id", "security_events", ["user_id"])
    op.create_table(
        "rate_limits",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("hits", sa.Integer, nullable=False),
        _now("began_at"),
        sa.PrimaryKeyConstraint("key", name="pk_rate_limits"),
    )


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _of_user(table: str) -> tuple[sa.Column[object] | sa.Constraint, ...]:
    """Return what begins a table whose rows are a user's: id, team, user and time, with their constraints."""
    return (
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("team_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        *_owners(table),
    )


def _owners(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=f"fk_{table}_team_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"fk_{table}_user_id", ondelete="CASCADE"),
    )


def downgrade() -> None:
    """Take it back. The role stays: other databases of the server may use it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _WALLED:
        op.execute(f"DROP POLICY tenant ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {table} FROM parley_tenant")
    op.execute("REVOKE USAGE ON SCHEMA public FROM parley_tenant")
    for table in (
        "rate_limits",
        "security_events",
        "api_keys",
        "password_resets",
        "recovery_codes",
        "second_factors",
        "sessions",
    ):
        op.drop_table(table)
    for column in ("last_login_at", "preferences", "avatar", "full_name"):
        op.drop_column("users", column)
    # Accounts without a password have no way in under the older code.
    op.execute("DELETE FROM users WHERE password_hash IS NULL")
    op.alter_column("users", "password_hash", nullable=False)
