"""Sums of usage are read by an index, under the tenants' role, whichever way they are grouped."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from bench.seed import team
from lib.db.tenant import Tenant
from lib.ids import new_id
from lib.store import usage
from lib.web.instance import Instance
from scripts.init_db import upgrade
from tests.fixtures.web import make_settings

ONE = new_id()


@pytest.fixture
def busy_team(empty_database_url: str) -> UUID:
    """A team whose 40 people had 20,000 turns in a year, in a database of its own: what else is there decides plans."""
    upgrade(empty_database_url)
    people = [ONE, *(new_id() for _ in range(39))]
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        team_id = team(connection)
        connection.execute(
            "INSERT INTO interaction_logs (id, team_id, user_id, conversation_id, message_id, model, outcome,"
            " input_tokens, output_tokens, cost_usd, total_ms, created_at)"
            " SELECT gen_random_uuid(), %s, (CAST(%s AS uuid[]))[1 + i %% 40], gen_random_uuid(), gen_random_uuid(),"
            " 'model-1', 'complete', 100, 10, 0.0001, 900, now() - i * interval '26 minutes'"
            " FROM generate_series(1, 20000) AS i",
            (team_id, people),
        )
        connection.execute("VACUUM ANALYZE interaction_logs")
    return team_id


INDEXES: Final = {
    "_OF_TEAM": "ix_interaction_logs_team_id_created_at",
    "_OF_USER": "ix_interaction_logs_user_id_created_at",
}


async def test_a_week_is_read_by_an_index(busy_team: UUID, empty_database_url: str) -> None:
    instance = Instance(make_settings(empty_database_url, "http://127.0.0.1:9/v1"))
    now, plans = datetime.now(UTC), dict[tuple[str, str], str]()
    asked = {"team_id": busy_team, "user_id": ONE, "since": now - timedelta(days=7), "until": now, "rows": 1001}
    async with instance.database.one_report(Tenant(busy_team)) as connection:
        for name in INDEXES:
            for group, statement in getattr(usage, name).items():
                rows = await connection.execute(text(f"EXPLAIN {statement.text}"), asked)
                plans[name, group] = "\n".join(rows.scalars())
    await instance.close()
    assert len(plans) == 8
    assert {key: plan for key, plan in plans.items() if INDEXES[key[0]] not in plan} == {}
    assert {key: plan for key, plan in plans.items() if "Seq Scan on interaction_logs" in plan} == {}
