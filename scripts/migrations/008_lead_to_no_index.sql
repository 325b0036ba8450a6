-- From the migration of this name, by scripts/export.py.

BEGIN;

-- Running upgrade 007 -> 008

SET LOCAL lock_timeout = '5s';

ALTER POLICY tenant ON conversations USING (coalesce(team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)), false));

ALTER POLICY tenant ON messages USING (coalesce(team_id = (SELECT CAST(nullif(current_setting('parley.team_id', true), '') AS uuid)), false));

UPDATE alembic_version SET version_num='008' WHERE alembic_version.version_num = '007';

COMMIT;
