"""Attempts are counted once each, however many instances count at once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import pytest
from sqlalchemy import text

from lib.db.limits import WINDOW, Hit, Taken
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.store.rate_limits import BATCH, purge, take
from scripts.init_db import upgrade
from tests.fixtures.web import Rows


@asynccontextmanager
async def instances(url: str, count: int) -> AsyncGenerator[list[Database]]:
    """Instances, each with a connection that is made already."""
    async with AsyncExitStack() as stack:
        databases = [Database(url) for _ in range(count)]
        for database in databases:
            stack.push_async_callback(database.close)
        await asyncio.gather(*(count_for(database, Hit("warm", "address", uuid4().hex, 1)) for database in databases))
        yield databases


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    async with instances(database_url, 1) as databases:
        yield databases[0]


async def count_for(database: Database, *hits: Hit) -> tuple[Taken, ...]:
    async with database.one_statement(EVERY_TEAM) as connection:
        return await take(connection, hits)


def somebody(limit: int = 5) -> Hit:
    return Hit("login", "address", uuid4().hex, limit)


def some_account(limit: int = 5) -> Hit:
    return Hit("login", "account", uuid4().hex, limit)


async def test_twenty_connections_at_once_let_in_exactly_five(database_url: str) -> None:
    hits = (somebody(), some_account())
    async with instances(database_url, 20) as databases:
        taken = await asyncio.gather(*(count_for(database, *hits) for database in databases))
    let_in = [each for each in taken if all(hit.within for hit in each)]
    assert len(let_in) == 5
    assert sorted(each[0].attempts for each in taken) == list(range(1, 21))


async def test_attempts_that_name_the_same_two_in_another_order_never_wait_for_each_other(database_url: str) -> None:
    one, other, account = (
        Hit("login", "address", f"{name}-{uuid4().hex}", 10_000) for name in ("one", "other", "account")
    )
    later = Hit("login", "account", account.subject, 10_000)
    async with instances(database_url, 8) as databases:

        async def keep_counting(database: Database, *hits: Hit) -> None:
            for _ in range(50):
                await count_for(database, *hits)

        await asyncio.gather(
            *(
                keep_counting(database, *((one, other, later) if number % 2 else (later, other, one)))
                for number, database in enumerate(databases)
            )
        )
        (counted, *_) = await count_for(databases[0], one)
    assert counted.attempts == 8 * 50 + 1


async def test_a_window_begins_with_its_first_attempt_and_ends_a_minute_later(database: Database, rows: Rows) -> None:
    hit = somebody(limit=1)
    (first,) = await count_for(database, hit)
    (second,) = await count_for(database, hit)
    assert (first.within, first.seconds_left) == (True, WINDOW)
    assert (second.within, second.attempts) == (False, 2)

    await rows("UPDATE rate_limits SET began_at = began_at - interval '50 seconds' WHERE key = %s", hit.key)
    (third,) = await count_for(database, hit)
    assert (third.within, third.attempts) == (False, 3)
    assert 9 <= third.seconds_left <= 10

    await rows("UPDATE rate_limits SET began_at = began_at - interval '10 seconds' WHERE key = %s", hit.key)
    (anew,) = await count_for(database, hit)
    assert (anew.within, anew.attempts, anew.seconds_left) == (True, 1, WINDOW)


async def test_what_an_address_is_refused_is_not_counted_for_the_account(database: Database) -> None:
    address, accounts = somebody(limit=2), [some_account() for _ in range(3)]
    counted = [await count_for(database, account, address) for account in accounts]
    assert [[taken.hit.kind for taken in each] for each in counted] == [["account", "address"]] * 2 + [["address"]]
    (spared,) = await count_for(database, accounts[2])
    assert spared.attempts == 1


async def test_an_account_is_counted_over_all_addresses(database: Database) -> None:
    account = some_account(limit=2)
    within = [all(taken.within for taken in await count_for(database, somebody(), account)) for _ in range(3)]
    assert within == [True, True, False]


async def test_what_is_long_over_is_deleted_and_nothing_else(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    async with instances(empty_database_url, 1) as (database,):
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("TRUNCATE rate_limits"))
            await connection.execute(
                text(
                    "INSERT INTO rate_limits SELECT 'old:' || n, 1, now() - interval '1 hour'"
                    " FROM generate_series(1, :many) AS n"
                ),
                {"many": BATCH + 7},
            )
        hit = somebody()
        await count_for(database, hit)
        async with database.one_statement(EVERY_TEAM) as connection:
            assert [await purge(connection) for _ in range(3)] == [BATCH, 7, 0]
        (kept,) = await count_for(database, hit)
    assert kept.attempts == 2
