"""What Parley does, in numbers: one statement a report, over all rows in reach, and no text of anybody."""

import msgspec
from sqlalchemy import TextClause, text

from lib.db.session import Connection
from lib.db.tenant import IN_REACH
from lib.metrics.reports import Chats, Users, Window, Workspaces


async def windows(connection: Connection) -> dict[str, Window]:
    """Return the turns of the last hour, day and week: `1h`, `24h`, `7d`."""
    windows = await _report(connection, _WINDOWS, dict[str, Window])
    return {name: windows[name] for name in ("1h", "24h", "7d")}  # JSON of Postgres has an order of its own


async def users(connection: Connection) -> Users:
    """Count accounts."""
    return await _report(connection, _USERS, Users)


async def workspaces(connection: Connection) -> Workspaces:
    """Count workspaces."""
    return await _report(connection, _WORKSPACES, Workspaces)


async def chats(connection: Connection) -> Chats:
    """Count conversations, messages and turns."""
    return await _report(connection, _CHATS, Chats)


async def _report[T](connection: Connection, statement: TextClause, kind: type[T]) -> T:
    """Run a statement that returns its report as JSON."""
    return msgspec.json.decode((await connection.execute(statement)).scalar_one(), type=kind)


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_WINDOWS = text(f"""
    WITH measured AS (
        SELECT period.name, said.* FROM (VALUES
            ('1h', interval '1 hour'), ('24h', interval '24 hours'), ('7d', interval '7 days')
        ) AS period (name, span), LATERAL (
            SELECT count(*) AS turns,
                count(*) FILTER (WHERE outcome = 'failed') AS failed,
                count(*) FILTER (WHERE outcome = 'interrupted') AS interrupted,
                coalesce(sum(input_tokens), 0) AS read, coalesce(sum(output_tokens), 0) AS written,
                percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY first_token_ms) AS first_token,
                percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY total_ms)
                    FILTER (WHERE outcome = 'complete') AS total
            FROM interaction_logs
            WHERE {IN_REACH} AND created_at > now() - period.span AND total_ms IS NOT NULL
        ) AS said
    )
    SELECT CAST(jsonb_object_agg(name, jsonb_build_object(
        'turns', turns, 'failed', failed, 'interrupted', interrupted,
        'error_rate', round(CAST(failed AS numeric) / nullif(turns, 0), 4),
        'input_tokens', read, 'output_tokens', written,
        'first_token_ms', jsonb_build_object('p50', round(first_token[1]), 'p95', round(first_token[2])),
        'total_ms', jsonb_build_object('p50', round(total[1]), 'p95', round(total[2]))
    )) AS text) AS report
    FROM measured
""")  # noqa: S608

_USERS = text(f"""
    WITH account AS (
        SELECT id, role, is_active, created_at FROM users WHERE {IN_REACH}
    ), chatted AS (
        SELECT user_id, max(created_at) AS latest FROM interaction_logs
        WHERE {IN_REACH} AND created_at > now() - interval '30 days' AND user_id IS NOT NULL
        GROUP BY user_id
    )
    SELECT CAST(jsonb_build_object(
        'total', count(*),
        'enabled', count(*) FILTER (WHERE is_active),
        'by_role', jsonb_build_object(
            'user', count(*) FILTER (WHERE role = 'user'), 'admin', count(*) FILTER (WHERE role = 'admin')),
        'active', jsonb_build_object(
            '1d', count(*) FILTER (WHERE latest > now() - interval '1 day'),
            '7d', count(*) FILTER (WHERE latest > now() - interval '7 days'),
            '30d', count(latest)),
        'new', jsonb_build_object(
            '1d', count(*) FILTER (WHERE created_at > now() - interval '1 day'),
            '7d', count(*) FILTER (WHERE created_at > now() - interval '7 days'),
            '30d', count(*) FILTER (WHERE created_at > now() - interval '30 days'))
    ) AS text) AS report
    FROM account LEFT JOIN chatted ON chatted.user_id = account.id
""")  # noqa: S608

_WORKSPACES = text(f"""
    WITH space AS (
        SELECT count(*) AS total, count(archived_at) AS archived,
            count(*) FILTER (WHERE created_at > now() - interval '30 days') AS new
        FROM workspaces WHERE {IN_REACH}
    ), member AS (
        SELECT count(*) AS memberships, count(DISTINCT user_id) AS members,
            count(*) FILTER (WHERE role = 'OWNER') AS owners, count(*) FILTER (WHERE role = 'MEMBER') AS ordinary,
            count(*) FILTER (WHERE role = 'GUEST') AS guests
        FROM workspace_members WHERE {IN_REACH}
    ), thread AS (
        SELECT count(*) AS conversations FROM conversations WHERE {IN_REACH} AND workspace_id IS NOT NULL
    )
    SELECT CAST(jsonb_build_object(
        'total', total, 'archived', archived, 'new_30d', new, 'members', members,
        'memberships', jsonb_build_object('OWNER', owners, 'MEMBER', ordinary, 'GUEST', guests),
        'conversations', conversations,
        'average_members', round(CAST(memberships AS numeric) / nullif(total, 0), 2)
    ) AS text) AS report
    FROM space, member, thread
""")  # noqa: S608

_CHATS = text(f"""
    WITH thread AS (
        SELECT count(*) AS total, count(user_id) AS of_users, count(workspace_id) AS in_workspaces
        FROM conversations WHERE {IN_REACH}
    ), message AS MATERIALIZED (
        SELECT (SELECT count(*) FROM messages WHERE {IN_REACH}) AS total,
            (SELECT count(*) FROM messages WHERE {IN_REACH} AND status = 'streaming') AS streaming
    ), turn AS MATERIALIZED (
        SELECT CAST(created_at AT TIME ZONE 'UTC' AS date) AS day, coalesce(model, 'none') AS model, outcome,
            count(*) AS turns, sum(input_tokens) AS read, count(input_tokens) AS reads,
            sum(output_tokens) AS written, count(output_tokens) AS writes
        FROM interaction_logs
        WHERE {IN_REACH} AND total_ms IS NOT NULL
            AND created_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '13 days'
        GROUP BY 1, 2, 3
    ), per_day AS (
        SELECT CAST(day AS date) AS day, coalesce(sum(turns), 0) AS turns,
            coalesce(sum(turns) FILTER (WHERE outcome = 'failed'), 0) AS failed,
            coalesce(sum(turns) FILTER (WHERE outcome = 'interrupted'), 0) AS interrupted
        FROM generate_series(
            date_trunc('day', now() AT TIME ZONE 'UTC') - interval '13 days',
            date_trunc('day', now() AT TIME ZONE 'UTC'), interval '1 day'
        ) AS calendar (day) LEFT JOIN turn USING (day)
        GROUP BY 1
    ), per_model AS (SELECT model, sum(turns) AS turns FROM turn GROUP BY model ORDER BY 2 DESC, 1 LIMIT 20),
    per_outcome AS (
        SELECT known.outcome, coalesce(sum(turns), 0) AS turns
        FROM (VALUES ('complete'), ('stopped'), ('interrupted'), ('failed')) AS known (outcome)
        LEFT JOIN turn USING (outcome)
        GROUP BY 1
    )
    SELECT CAST(jsonb_build_object(
        'conversations', jsonb_build_object('total', thread.total, 'of_users', of_users,
            'of_guests', thread.total - of_users, 'in_workspaces', in_workspaces),
        'messages', jsonb_build_object('total', message.total, 'streaming', streaming),
        'average_messages', round(CAST(message.total AS numeric) / nullif(thread.total, 0), 2),
        'turns', jsonb_build_object(
            'total', (SELECT coalesce(sum(turns), 0) FROM turn),
            'by_outcome', (SELECT jsonb_object_agg(outcome, turns) FROM per_outcome),
            'by_model', (SELECT coalesce(jsonb_object_agg(model, turns), '{{}}') FROM per_model),
            'per_day', (SELECT jsonb_agg(to_jsonb(per_day) ORDER BY day) FROM per_day),
            'average_input_tokens', (SELECT round(sum(read) / nullif(sum(reads), 0), 1) FROM turn),
            'average_output_tokens', (SELECT round(sum(written) / nullif(sum(writes), 0), 1) FROM turn))
    ) AS text) AS report
    FROM thread, message
""")  # noqa: S608
