"""A statement and its answer on the wire: what fails leaves a connection that can be used, or none."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, ProgrammingError

from lib.db.exchange import MOST_PREPARED, PREPARED
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM, Tenant
from lib.ids import DEFAULT_TEAM_ID

ASKED = text("SELECT CAST(:said AS text) AS said")


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url, pool_size=1)
    yield database
    await database.close()


async def said(database: Database, what: str) -> str:
    async with database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
        return (await connection.execute(ASKED, {"said": what})).scalar_one()


async def backend(database: Database) -> int:
    async with database.one_statement(EVERY_TEAM) as connection:
        return (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()


async def test_a_parameter_that_is_not_given_is_not_taken_for_null(database: Database) -> None:
    with pytest.raises(KeyError, match="said"):
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(ASKED, {"other": "x"})


async def test_what_is_longer_than_a_socket_takes_at_once_arrives_whole(database: Database) -> None:
    long = "0123456789abcdef" * 512 * 1024
    assert await said(database, long) == long


async def test_a_parameter_that_cannot_be_sent_leaves_the_connection_as_it_was(database: Database) -> None:
    before = await backend(database)
    with pytest.raises(DataError):
        await said(database, "a\0b")
    assert await said(database, "x") == "x"
    assert await backend(database) == before


async def test_a_statement_that_fails_leaves_the_connection_as_it_was(database: Database) -> None:
    before = await backend(database)
    for _ in range(PREPARED + 2):  # prepared or not
        with pytest.raises(DataError):
            async with database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
                await connection.execute(text("SELECT 1 / CAST(:by AS integer)"), {"by": 0})
    assert await said(database, "x") == "x"
    assert await backend(database) == before


async def test_a_statement_that_cannot_be_prepared_says_why_each_time(database: Database) -> None:
    wrong = text("SELECT 1 +")
    for _ in range(2 * PREPARED + 3):
        with pytest.raises(ProgrammingError):
            async with database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
                await connection.execute(wrong)


async def test_nothing_is_taken_for_prepared_that_was_never_sent(database: Database) -> None:
    for _ in range(PREPARED):
        await said(database, "x")
    with pytest.raises(DataError):
        await said(database, "a\0b")  # the preface is due to be prepared
    assert await said(database, "x") == "x"


async def test_an_errand_of_several_statements_waits_once(database: Database) -> None:
    one = text("SELECT 1")
    async with database.one_statement(EVERY_TEAM) as connection:
        await connection.execute(one)
        waiting = asyncio.create_task(backend(database))
        await asyncio.sleep(0)
        await connection.execute(one)
        assert not waiting.done()
        await connection.execute(one, last=True)
        await waiting


async def test_a_statement_that_the_server_has_forgotten_fails_once(database: Database) -> None:
    for _ in range(PREPARED + 2):
        await said(database, "x")
    async with database.one_statement(EVERY_TEAM) as connection:
        await connection.execute(text("DEALLOCATE ALL"))
    with pytest.raises(DBAPIError):  # of the preface, which is prepared, too
        await said(database, "x")
    with pytest.raises(DBAPIError):
        await said(database, "x")
    assert await said(database, "x") == "x"


async def test_statements_that_are_never_the_same_are_not_all_kept_by_the_server(database: Database) -> None:
    for number in range(MOST_PREPARED + 5):
        statement = text(f"SELECT {number}")
        for _ in range(PREPARED + 1):
            async with database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
                await connection.execute(statement)
    async with database.one_statement(EVERY_TEAM) as connection:
        kept = await connection.execute(text("SELECT count(*) FROM pg_prepared_statements"))
        assert kept.scalar_one() == MOST_PREPARED
