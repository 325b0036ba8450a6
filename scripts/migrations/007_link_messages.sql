-- From the migration of this name, by scripts/export.py.

BEGIN;

-- Running upgrade 006 -> 007

SET LOCAL lock_timeout = '5s';

UPDATE messages SET parent_id = earlier.id
        FROM (SELECT id AS of, lag(id) OVER (PARTITION BY conversation_id ORDER BY id) AS id FROM messages) AS earlier
        WHERE messages.id = earlier.of AND earlier.id IS NOT NULL AND messages.parent_id IS NULL;

UPDATE alembic_version SET version_num='007' WHERE alembic_version.version_num = '006';

COMMIT;
