-- From the migration of this name, by scripts/export.py.

BEGIN;

-- Running upgrade 003 -> 004

SET LOCAL lock_timeout = '5s';

CREATE TABLE workspaces (
    id UUID NOT NULL,
    team_id UUID NOT NULL,
    name TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    created_by UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    archived_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_workspaces PRIMARY KEY (id),
    CONSTRAINT fk_workspaces_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT fk_workspaces_created_by FOREIGN KEY(created_by) REFERENCES users (id) ON DELETE SET NULL
);

CREATE INDEX ix_workspaces_team_id ON workspaces (team_id);

CREATE INDEX ix_workspaces_created_by ON workspaces (created_by);

CREATE TABLE workspace_members (
    workspace_id UUID NOT NULL,
    user_id UUID NOT NULL,
    team_id UUID NOT NULL,
    role TEXT DEFAULT 'MEMBER' NOT NULL,
    joined_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_workspace_members PRIMARY KEY (workspace_id, user_id),
    CONSTRAINT fk_workspace_members_workspace_id FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE,
    CONSTRAINT fk_workspace_members_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT fk_workspace_members_team_id FOREIGN KEY(team_id) REFERENCES teams (id) ON DELETE CASCADE,
    CONSTRAINT ck_workspace_members_role CHECK (role IN ('OWNER', 'MEMBER', 'GUEST'))
);

CREATE INDEX ix_workspace_members_user_id ON workspace_members (user_id);

CREATE INDEX ix_workspace_members_team_id ON workspace_members (team_id);

ALTER TABLE conversations ADD COLUMN workspace_id UUID;

ALTER TABLE conversations ADD CONSTRAINT fk_conversations_workspace_id FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE SET NULL;

CREATE INDEX ix_conversations_workspace_id ON conversations (workspace_id) WHERE workspace_id IS NOT NULL;

CREATE INDEX ix_messages_streaming ON messages (created_at) WHERE status = 'streaming';

UPDATE alembic_version SET version_num='004' WHERE alembic_version.version_num = '003';

COMMIT;
