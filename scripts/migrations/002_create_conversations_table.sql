-- From the migration of this name, by scripts/export.py.

BEGIN;

-- Running upgrade 001 -> 002

SET LOCAL lock_timeout = '5s';

CREATE TABLE conversations (
    id UUID NOT NULL,
    team_id UUID NOT NULL,
    user_id UUID,
    title TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_conversations PRIMARY KEY (id),
    CONSTRAINT fk_conversations_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT fk_conversations_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_conversations_newest ON conversations (user_id, updated_at DESC, id DESC);

CREATE INDEX ix_conversations_team_id ON conversations (team_id);

CREATE TABLE messages (
    id UUID NOT NULL,
    team_id UUID NOT NULL,
    conversation_id UUID NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    parts JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_messages PRIMARY KEY (id),
    CONSTRAINT fk_messages_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT fk_messages_conversation_id FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT ck_messages_role CHECK (role IN ('user', 'assistant')),
    CONSTRAINT ck_messages_status CHECK (status IN ('streaming', 'complete', 'interrupted', 'failed'))
);

CREATE INDEX ix_messages_conversation_id_id ON messages (conversation_id, id);

CREATE INDEX ix_messages_team_id ON messages (team_id);

UPDATE alembic_version SET version_num='002' WHERE alembic_version.version_num = '001';

COMMIT;
