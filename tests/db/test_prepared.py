"""Statements are prepared where one server answers all of them, and nowhere else."""

from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import text

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


async def ask(database: Database) -> list[str]:
    """Send the same statement a few times, and return what the server has prepared of it by then."""
    for _ in range(PREPARED + 2):
        async with database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
            await connection.execute(ASKED, {"team_id": DEFAULT_TEAM_ID})
    async with database.one_statement(EVERY_TEAM) as connection:
        found = await connection.execute(text("SELECT statement FROM pg_prepared_statements"))
        return [statement for (statement,) in found if "FROM conversations" in statement]


async def test_a_server_of_ones_own_prepares_what_comes_again(direct: Database) -> None:
    assert len(await ask(direct)) == 1


async def test_a_server_behind_a_pooler_prepares_nothing(pooled: Database) -> None:
    assert await ask(pooled) == []
