-- From the migration of this name, by scripts/export.py.

BEGIN;

-- Running upgrade 002 -> 003

SET LOCAL lock_timeout = '5s';

CREATE TABLE interaction_logs (
    id UUID NOT NULL,
    team_id UUID NOT NULL,
    user_id UUID,
    conversation_id UUID NOT NULL,
    message_id UUID NOT NULL,
    model TEXT,
    outcome TEXT NOT NULL,
    error_code TEXT,
    retrieval TEXT,
    passages INTEGER DEFAULT 0 NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    first_token_ms INTEGER,
    total_ms INTEGER,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_interaction_logs PRIMARY KEY (id),
    CONSTRAINT fk_interaction_logs_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT ck_interaction_logs_outcome CHECK (outcome IN ('complete', 'interrupted', 'failed'))
);

CREATE INDEX ix_interaction_logs_team_id_created_at ON interaction_logs (team_id, created_at);

UPDATE alembic_version SET version_num='003' WHERE alembic_version.version_num = '002';

COMMIT;
