"""How Postgres is."""

import psycopg
import pytest

from lib.breaker import Breaker
from lib.db.session import Database
from lib.db.tables import HEAD
from lib.db.tenant import EVERY_TEAM
from lib.errors import DatabaseUnavailable
from lib.health.database import read_database
from lib.health.probe import LIMIT, Probe, Reading
from scripts.init_db import upgrade
from tests.doubles.proxy import PostgresProxy


async def reading_of(url: str) -> Reading:
    database = Database(url)
    try:
        return await read_database(database, configured=True)
    finally:
        await database.close()


async def test_one_with_every_table_is_ok(database_url: str) -> None:
    reading = await reading_of(database_url)
    assert (reading.status, reading.detail) == ("ok", None)


async def test_one_without_tables_is_degraded(empty_database_url: str) -> None:
    reading = await reading_of(empty_database_url)
    assert (reading.status, reading.detail) == ("degraded", "There are no tables: run scripts/init_db.py.")


async def test_one_behind_the_code_is_degraded_and_one_ahead_is_not(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '002'")
        assert (await reading_of(empty_database_url)).detail == (
            f"The tables are at 002 and should be at {HEAD}: run scripts/init_db.py."
        )
        connection.execute("UPDATE alembic_version SET version_num = '999'")
        assert (await reading_of(empty_database_url)).status == "ok"


async def test_one_that_takes_no_writes_is_degraded(database_url: str) -> None:
    reading = await reading_of(f"{database_url}&options=-cdefault_transaction_read_only%3Don")
    assert (reading.status, reading.detail) == ("degraded", "Postgres takes no writes.")


async def test_one_that_refuses_is_down_and_is_asked_past_the_breaker_which_it_closes(proxy: PostgresProxy) -> None:
    breaker = Breaker(threshold=1)
    database = Database(proxy.url, breaker=breaker)
    proxy.refuse()
    down = await read_database(database, configured=True)
    assert down.detail == "Postgres cannot be reached, gives us no access, or does not answer."
    assert breaker.is_open
    proxy.heal()
    with pytest.raises(DatabaseUnavailable):
        async with database.one_statement(EVERY_TEAM):
            pass
    assert (await read_database(database, configured=True)).status == "ok"
    async with database.one_statement(EVERY_TEAM):
        pass
    await database.close()


async def test_one_that_falls_silent_is_told_of_in_time(proxy: PostgresProxy) -> None:
    database = Database(proxy.url)
    probe = Probe(lambda: read_database(database, configured=True), limit=LIMIT, fresh=0)
    assert (await probe.read()).status == "ok"
    proxy.stall()
    silent = await probe.read()
    assert (silent.status, silent.detail) == ("down", f"There was no answer within {LIMIT:g} s.")
    proxy.heal()
    while (await probe.read()).status != "ok":
        pass
    await database.close()


async def test_a_password_that_is_wrong_is_not_told() -> None:
    reading = await reading_of("postgresql://user:secret-password@127.0.0.1:9/db")
    assert reading.status == "down"
    assert "secret" not in repr(reading)


async def test_without_a_url_there_is_nothing_to_ask() -> None:
    reading = await read_database(Database(None), configured=False)
    assert (reading.status, reading.configured, reading.detail) == ("down", False, "DATABASE_URL is not set.")
