-- From the migration of this name, by scripts/export.py.

BEGIN;

-- Running upgrade 005 -> 006

SET LOCAL lock_timeout = '5s';

CREATE TABLE agents (
    id UUID NOT NULL,
    team_id UUID NOT NULL,
    created_by UUID,
    name TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    kind TEXT NOT NULL,
    webhook_url TEXT,
    sealed_webhook_token BYTEA,
    provider TEXT,
    model TEXT,
    base_url TEXT,
    sealed_api_key BYTEA,
    system_prompt TEXT DEFAULT '' NOT NULL,
    config JSONB DEFAULT '{}'::jsonb NOT NULL,
    avatar TEXT,
    is_active BOOLEAN DEFAULT true NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_agents PRIMARY KEY (id),
    CONSTRAINT fk_agents_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT fk_agents_created_by FOREIGN KEY(created_by) REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT ck_agents_kind CHECK (kind IN ('webhook', 'model')),
    CONSTRAINT ck_agents_webhook_url CHECK (kind <> 'webhook' OR webhook_url IS NOT NULL)
);

CREATE INDEX ix_agents_team_id ON agents (team_id);

CREATE INDEX ix_agents_created_by ON agents (created_by);

ALTER TABLE conversations ADD COLUMN agent_id UUID;

ALTER TABLE conversations ADD CONSTRAINT fk_conversations_agent_id FOREIGN KEY(agent_id) REFERENCES agents (id) ON DELETE SET NULL;

ALTER TABLE conversations ADD COLUMN metadata JSONB DEFAULT '{}'::jsonb NOT NULL;

ALTER TABLE conversations ADD COLUMN is_archived BOOLEAN DEFAULT false NOT NULL;

ALTER TABLE conversations ADD COLUMN is_pinned BOOLEAN DEFAULT false NOT NULL;

ALTER TABLE conversations ADD COLUMN titled_by TEXT DEFAULT 'question' NOT NULL;

ALTER TABLE conversations ADD CONSTRAINT ck_conversations_titled_by CHECK (titled_by IN ('question', 'model', 'user'));

ALTER TABLE conversations ADD COLUMN answer_id UUID;

ALTER TABLE conversations ADD COLUMN busy_until TIMESTAMP WITH TIME ZONE;

CREATE INDEX ix_conversations_agent_id ON conversations (agent_id) WHERE agent_id IS NOT NULL;

ALTER TABLE messages ADD COLUMN parent_id UUID;

ALTER TABLE messages ADD COLUMN active BOOLEAN DEFAULT true NOT NULL;

ALTER TABLE messages ADD COLUMN sources JSONB;

ALTER TABLE messages ADD COLUMN retrieval TEXT;

ALTER TABLE messages ADD COLUMN model TEXT;

ALTER TABLE messages ADD COLUMN input_tokens INTEGER;

ALTER TABLE messages ADD COLUMN output_tokens INTEGER;

ALTER TABLE messages ADD COLUMN finished_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE messages ADD COLUMN error_code TEXT;

ALTER TABLE messages ADD COLUMN feedback TEXT;

ALTER TABLE messages ADD COLUMN feedback_comment TEXT;

ALTER TABLE messages ADD COLUMN stop_requested BOOLEAN DEFAULT false NOT NULL;

ALTER TABLE messages ADD COLUMN search tsvector GENERATED ALWAYS AS (to_tsvector('english', left(coalesce(parts #>> '{0,text}', ''), 50000)) || to_tsvector('simple', left(coalesce(parts #>> '{0,text}', ''), 50000))) STORED;

ALTER TABLE messages ADD CONSTRAINT ck_messages_feedback CHECK (feedback IN ('up', 'down'));

ALTER TABLE messages DROP CONSTRAINT ck_messages_status;

ALTER TABLE messages ADD CONSTRAINT ck_messages_status CHECK (status IN ('streaming', 'complete', 'stopped', 'interrupted', 'failed'));

CREATE INDEX ix_messages_conversation_id_active_id ON messages (conversation_id, active, id);

CREATE INDEX ix_messages_conversation_id_parent_id ON messages (conversation_id, parent_id);

DROP INDEX ix_messages_conversation_id_id;

ALTER TABLE interaction_logs ADD COLUMN agent_id UUID;

ALTER TABLE interaction_logs ADD COLUMN cost_usd NUMERIC(14, 8);

ALTER TABLE interaction_logs DROP CONSTRAINT ck_interaction_logs_outcome;

ALTER TABLE interaction_logs ADD CONSTRAINT ck_interaction_logs_outcome CHECK (outcome IN ('complete', 'stopped', 'interrupted', 'failed'));

CREATE INDEX ix_interaction_logs_user_id_created_at ON interaction_logs (user_id, created_at);

CREATE UNLOGGED TABLE stream_events (
    message_id UUID NOT NULL,
    number INTEGER NOT NULL,
    team_id UUID NOT NULL,
    events BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_stream_events PRIMARY KEY (message_id, number),
    CONSTRAINT fk_stream_events_message_id FOREIGN KEY(message_id) REFERENCES messages (id) ON DELETE CASCADE,
    CONSTRAINT fk_stream_events_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE
);

CREATE INDEX ix_stream_events_team_id ON stream_events (team_id);

CREATE TABLE turn_keys (
    key_hash BYTEA NOT NULL,
    team_id UUID NOT NULL,
    body_hash BYTEA NOT NULL,
    conversation_id UUID NOT NULL,
    answer_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_turn_keys PRIMARY KEY (key_hash),
    CONSTRAINT fk_turn_keys_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT fk_turn_keys_conversation_id FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE
);

CREATE INDEX ix_turn_keys_team_id ON turn_keys (team_id);

CREATE INDEX ix_turn_keys_conversation_id ON turn_keys (conversation_id);

CREATE INDEX ix_turn_keys_created_at ON turn_keys (created_at);

ALTER POLICY tenant ON messages USING ((team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid))) IS TRUE);

GRANT SELECT, INSERT, UPDATE, DELETE ON agents TO parley_tenant;

ALTER TABLE agents ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON agents TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON stream_events TO parley_tenant;

ALTER TABLE stream_events ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON stream_events TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

GRANT SELECT, INSERT, UPDATE, DELETE ON turn_keys TO parley_tenant;

ALTER TABLE turn_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON turn_keys TO parley_tenant USING (team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)));

UPDATE alembic_version SET version_num='006' WHERE alembic_version.version_num = '005';

COMMIT;
