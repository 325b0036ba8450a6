"""Statements are prepared where one server answers all of them, and nowhere else."""

from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import TextClause, text

from lib.db.exchange import PREPARED
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM, Tenant
from lib.ids import DEFAULT_TEAM_ID
from tests.fixtures.pgbouncer import Pooler

ASKED = text("SELECT count(*) FROM conversations WHERE team_id = :team_id")


@pytest.fixture
async def direct(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url, pool_size=1)
    yield database
    await database.close()


@pytest.fixture
async def pooled(pooler: Pooler) -> AsyncGenerator[Database]:
    database = Database(pooler.url, pool_size=1)
    yield database
    await database.close()


async def ask(database: Database, statement: TextClause = ASKED) -> list[tuple[int, int]]:
    """Send the same statement a few times, and return what the server has prepared of it by then.

    Of each it is how often it was planned for any parameters, and how often for those that it came with.
    """
    for _ in range(PREPARED + 2):
        async with database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
            await connection.execute(statement, {"team_id": DEFAULT_TEAM_ID})
    async with database.one_statement(EVERY_TEAM) as connection:
        found = await connection.execute(
            text("SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE :this"),
            {"this": f"%{str(statement).partition(' WHERE')[0]}%"},
        )
        return [(row.generic_plans, row.custom_plans) for row in found]


async def test_a_server_of_ones_own_prepares_what_comes_again(direct: Database) -> None:
    assert await ask(direct) == [(0, 2)]


async def test_a_statement_that_is_good_for_any_parameters_is_planned_once(direct: Database) -> None:
    assert await ask(direct, ASKED.execution_options(generic_plan=True)) == [(2, 0)]


async def test_a_server_behind_a_pooler_prepares_nothing(pooled: Database) -> None:
    assert await ask(pooled) == []
