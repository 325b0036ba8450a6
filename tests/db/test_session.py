"""The engine: URLs, and what counts as an outage."""

import asyncio
import re

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, OperationalError, ProgrammingError

from lib.breaker import THRESHOLD, Breaker
from lib.db.faults import is_passing
from lib.db.session import POOL_SIZE, Database
from lib.db.tenant import EVERY_TEAM
from lib.db.url import psycopg_url
from lib.errors import DatabaseUnavailable, ReportTooLong
from tests.doubles.proxy import PostgresProxy


@pytest.mark.parametrize(
    "spelled",
    [
        "postgres://u:p@host/db",
        "postgresql://u:p@host/db",
        "postgresql+asyncpg://u:p@host/db",
        "postgresql+psycopg://u:p@host/db",
        "postgres://u:p@host/db?pgbouncer=true&connection_limit=1",
        "postgresql+asyncpg://u:p@host/db?prepared_statement_cache_size=0",
    ],
)
def test_every_spelling_of_a_url_is_taken(spelled: str) -> None:
    assert psycopg_url(spelled).render_as_string(hide_password=False) == "postgresql+psycopg://u:p@host/db"


def test_asyncpgs_ssl_is_libpqs_sslmode() -> None:
    for ssl in ("require", "true"):
        assert psycopg_url(f"postgresql+asyncpg://h/db?ssl={ssl}").query == {"sslmode": "require"}


def test_neon_gets_tls_and_channel_binding_unless_the_url_says_otherwise() -> None:
    neon = psycopg_url("postgres://u@ep-x-pooler.eu.aws.neon.tech/db")
    assert neon.query == {"sslmode": "require", "channel_binding": "require"}
    told = psycopg_url("postgres://u@ep-x.eu.aws.neon.tech/db?sslmode=verify-full&channel_binding=prefer")
    assert told.query == {"sslmode": "verify-full", "channel_binding": "prefer"}


async def test_a_statement_that_is_refused_is_no_outage(database_url: str) -> None:
    breaker = Breaker(threshold=1)
    database = Database(database_url, breaker=breaker)
    with pytest.raises(ProgrammingError):
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("SELECT FROM FROM"))
    assert not breaker.is_open
    await database.close()


async def test_a_server_that_takes_no_writes_during_a_failover_is_an_outage(database_url: str) -> None:
    database = Database(f"{database_url}&options=-cdefault_transaction_read_only%3Don")
    with pytest.raises(DatabaseUnavailable):
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("CREATE TABLE never (id int)"))
    await database.close()


@pytest.mark.parametrize("statement", ["SELECT * FROM nothing", "SELECT nothing FROM teams", "SELECT * FROM secrets"])
async def test_a_database_that_is_not_ours_to_use_is_an_outage(
    statement: str, empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as owner:
        owner.execute("CREATE TABLE teams (id int); CREATE TABLE secrets (id int)")
        owner.execute("DO $$ BEGIN CREATE ROLE nobody_special; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        owner.execute("GRANT SELECT ON teams TO nobody_special")
    database = Database(f"{empty_database_url}&options=-crole%3Dnobody_special")
    with pytest.raises(DatabaseUnavailable):
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text(statement))
    assert re.search(r"database unavailable: \w+ 42(P01|703|501)$", caplog.text, re.MULTILINE)
    await database.close()


async def test_what_statements_do_to_each_other_is_no_outage(database_url: str) -> None:
    breaker = Breaker(threshold=1)
    database = Database(f"{database_url}&options=-cstatement_timeout%3D10", breaker=breaker)
    with pytest.raises(OperationalError) as error:
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("SELECT pg_sleep(2)"))
    assert not breaker.is_open
    assert is_passing(error.value)
    await database.close()


TOO_LONG = "SELECT to_tsvector('simple', string_agg(md5(CAST(i AS text)), ' ')) FROM generate_series(1, 100000) AS i"
TOO_MANY_COLUMNS = f"SELECT {', '.join('1' * 1665)}"
TOO_MANY_ARGUMENTS = f"SELECT num_nulls({', '.join('1' * 101)})"
TOO_COMPLEX = f"SELECT 1{' + 1' * 50_000}"


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [(TOO_LONG, "54000"), (TOO_COMPLEX, "54001"), (TOO_MANY_COLUMNS, "54011"), (TOO_MANY_ARGUMENTS, "54023")],
    ids=["54000", "54001", "54011", "54023"],
)
async def test_a_statement_that_asks_too_much_is_no_outage_and_does_not_pass(
    database_url: str, statement: str, sqlstate: str
) -> None:
    breaker = Breaker(threshold=1)
    database = Database(database_url, breaker=breaker)
    with pytest.raises(OperationalError) as error:
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text(statement))
    assert getattr(error.value.orig, "sqlstate", None) == sqlstate
    assert not breaker.is_open
    assert not is_passing(error.value)
    await database.close()


async def test_an_error_does_not_repeat_what_was_sent(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(DataError) as error:
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("SELECT CAST(:said AS text), 1 / 0"), {"said": "a secret"})
    assert "a secret" not in str(error.value)
    await database.close()


async def test_an_open_breaker_refuses_at_once(proxy: PostgresProxy) -> None:
    proxy.refuse()
    database = Database(proxy.url)
    for _ in range(THRESHOLD + 2):
        with pytest.raises(DatabaseUnavailable):
            async with database.one_statement(EVERY_TEAM) as connection:
                await connection.execute(text("SELECT 1"))
    assert proxy.connections == THRESHOLD
    await database.close()


async def test_without_a_url_the_database_is_always_away() -> None:
    with pytest.raises(DatabaseUnavailable):
        async with Database(None).one_statement(EVERY_TEAM):
            pass


async def test_a_statement_costs_one_round_trip_and_no_ping(proxy: PostgresProxy) -> None:
    database = Database(proxy.url)
    for _ in range(3):
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("SELECT 1"))
    proxy.messages = 0
    async with database.one_statement(EVERY_TEAM) as connection:
        await connection.execute(text("SELECT 1"))
    assert (proxy.messages, proxy.connections) == (1, 1)
    await database.close()


async def test_a_look_past_an_open_breaker_closes_it(database_url: str, proxy: PostgresProxy) -> None:
    breaker = Breaker(threshold=1)
    database = Database(proxy.url, breaker=breaker)
    proxy.refuse()
    with pytest.raises(DatabaseUnavailable):
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("SELECT 1"))
    assert breaker.is_open
    proxy.heal()
    with pytest.raises(DatabaseUnavailable):
        async with database.one_statement(EVERY_TEAM):
            pass
    async with database.one_statement(EVERY_TEAM, past_breaker=True) as connection:
        await connection.execute(text("SELECT 1"))
    assert not breaker.is_open
    await database.close()


async def test_a_report_is_stopped_by_the_server_and_leaves_a_connection_that_can_be_used(database_url: str) -> None:
    breaker = Breaker(threshold=1)
    database = Database(database_url, breaker=breaker)
    with pytest.raises(ReportTooLong):
        async with database.one_report(EVERY_TEAM) as connection:
            await connection.execute(text("SELECT pg_sleep(20)"))
    assert not breaker.is_open
    async with database.one_statement(EVERY_TEAM) as connection:
        asked = text("SELECT current_setting('statement_timeout') || current_setting('transaction_read_only')")
        assert (await connection.execute(asked)).scalar_one() == "0off"
    await database.close()


async def test_a_report_writes_nothing(database_url: str) -> None:
    database = Database(database_url, breaker=Breaker(threshold=10))
    with pytest.raises(DatabaseUnavailable):
        async with database.one_report(EVERY_TEAM) as connection:
            await connection.execute(text("CREATE TABLE never (id int)"))
    await database.close()


async def test_a_report_costs_one_round_trip(proxy: PostgresProxy) -> None:
    database = Database(proxy.url)
    for _ in range(2):
        proxy.messages = 0
        async with database.one_report(EVERY_TEAM) as connection:
            await connection.execute(text("SELECT 1"))
    assert proxy.messages == 1
    await database.close()


async def test_a_silent_server_that_is_asked_for_a_report_is_hung_up_on(proxy: PostgresProxy) -> None:
    database = Database(proxy.url)
    async with asyncio.timeout(15):
        with pytest.raises(DatabaseUnavailable):
            async with database.one_report(EVERY_TEAM) as connection:
                await connection.execute(text("SELECT 1"))
                proxy.stall()
                await connection.execute(text("SELECT 1"))
    proxy.heal()
    for _ in range(POOL_SIZE):
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("SELECT 1"))
    await database.close()


async def test_a_cancelled_request_gives_its_connection_back(database_url: str) -> None:
    database = Database(database_url)
    loop = asyncio.get_running_loop()

    async def ask() -> None:
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("SELECT pg_sleep(.01)"))

    for microseconds in range(0, 20_000, 400):  # anywhere from before the connection to after the answer
        asking = asyncio.create_task(ask())
        loop.call_later(microseconds / 1e6, asking.cancel)
        await asyncio.wait([asking])
    await asyncio.gather(*(ask() for _ in range(POOL_SIZE)))
    await database.close()
    async with await psycopg.AsyncConnection.connect(database_url) as onlooker:
        cursor = await onlooker.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(.01)%'")
        assert await cursor.fetchone() == (1,)  # this one
