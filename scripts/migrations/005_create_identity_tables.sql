-- From the migration of this name, by scripts/export.py.

BEGIN;

-- Running upgrade 004 -> 005

SET LOCAL lock_timeout = '5s';

ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL;

ALTER TABLE users ADD COLUMN full_name TEXT;

ALTER TABLE users ADD COLUMN avatar TEXT;

ALTER TABLE users ADD COLUMN preferences JSONB DEFAULT '{}'::jsonb NOT NULL;

ALTER TABLE users ADD COLUMN last_login_at TIMESTAMP WITH TIME ZONE;

CREATE TABLE sessions (
    id UUID NOT NULL,
    team_id UUID NOT NULL,
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    rotated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    generation INTEGER DEFAULT 0 NOT NULL,
    device TEXT,
    address TEXT,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_sessions PRIMARY KEY (id),
    CONSTRAINT fk_sessions_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT fk_sessions_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_sessions_user_id ON sessions (user_id);

CREATE INDEX ix_sessions_team_id ON sessions (team_id);

CREATE TABLE second_factors (
    user_id UUID NOT NULL,
    team_id UUID NOT NULL,
    sealed_secret BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    last_step BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_second_factors PRIMARY KEY (user_id),
    CONSTRAINT fk_second_factors_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT fk_second_factors_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_second_factors_team_id ON second_factors (team_id);

CREATE TABLE recovery_codes (
    user_id UUID NOT NULL,
    code_hash BYTEA NOT NULL,
    team_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (user_id, code_hash),
    CONSTRAINT fk_recovery_codes_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT fk_recovery_codes_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_recovery_codes_team_id ON recovery_codes (team_id);

CREATE TABLE password_resets (
    id UUID NOT NULL,
    team_id UUID NOT NULL,
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    token_hash BYTEA NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_password_resets PRIMARY KEY (id),
    CONSTRAINT fk_password_resets_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT fk_password_resets_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_password_resets_user_id ON password_resets (user_id);

CREATE INDEX ix_password_resets_team_id ON password_resets (team_id);

CREATE TABLE api_keys (
    id UUID NOT NULL,
    team_id UUID NOT NULL,
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT[] NOT NULL,
    secret_hash BYTEA NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT fk_api_keys_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT fk_api_keys_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT ck_api_keys_scopes CHECK (scopes <@ ARRAY['chat', 'read', 'admin'])
);

CREATE INDEX ix_api_keys_user_id ON api_keys (user_id);

CREATE INDEX ix_api_keys_team_id ON api_keys (team_id);

CREATE TABLE security_events (
    id UUID NOT NULL,
    team_id UUID NOT NULL,
    user_id UUID,
    actor_id UUID,
    kind TEXT NOT NULL,
    detail JSONB DEFAULT '{}'::jsonb NOT NULL,
    address TEXT,
    device TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_security_events PRIMARY KEY (id),
    CONSTRAINT fk_security_events_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE
);

CREATE INDEX ix_security_events_team_id_id ON security_events (team_id, id);

CREATE INDEX ix_security_events_team_id_kind_id ON security_events (team_id, kind, id);

CREATE INDEX ix_security_events_user_id ON security_events (user_id);

CREATE TABLE rate_limits (
    key TEXT NOT NULL,
    hits INTEGER NOT NULL,
    began_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_rate_limits PRIMARY KEY (key)
);

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
END $$;

GRANT USAGE ON SCHEMA public TO parley_tenant;

GRANT SELECT, INSERT, UPDATE ON rate_limits TO parley_tenant;

GRANT SELECT, INSERT, UPDATE, DELETE ON teams TO parley_tenant;

ALTER TABLE teams ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON teams TO parley_tenant USING (id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON users TO parley_tenant;

ALTER TABLE users ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON users TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON workspaces TO parley_tenant;

ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON workspaces TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON workspace_members TO parley_tenant;

ALTER TABLE workspace_members ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON workspace_members TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON conversations TO parley_tenant;

ALTER TABLE conversations ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON conversations TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON messages TO parley_tenant;

ALTER TABLE messages ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON messages TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON interaction_logs TO parley_tenant;

ALTER TABLE interaction_logs ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON interaction_logs TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO parley_tenant;

ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON sessions TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON second_factors TO parley_tenant;

ALTER TABLE second_factors ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON second_factors TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON recovery_codes TO parley_tenant;

ALTER TABLE recovery_codes ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON recovery_codes TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON password_resets TO parley_tenant;

ALTER TABLE password_resets ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON password_resets TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO parley_tenant;

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON api_keys TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON security_events TO parley_tenant;

ALTER TABLE security_events ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON security_events TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

UPDATE alembic_version SET version_num='005' WHERE alembic_version.version_num = '004';

COMMIT;
