"""What an errand to Postgres may cost, who waits for a connection and for how long, and what a cancellation leaves."""

import asyncio
import errno
import gc
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from lib.breaker import Breaker
from lib.db.errand import BUDGET, WAIT
from lib.db.places import LetGo, Places
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM, Reach, Tenant
from lib.errors import DatabaseBusy, DatabaseUnavailable
from lib.ids import new_id
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.web import Rows

SLACK = 0.5
"""Seconds that a busy machine may add."""
LIMIT = 15.0
"""Seconds after which nothing is going to end any more."""


@asynccontextmanager
async def database_at(
    url: str, *, pool_size: int = 1, breaker: Breaker | None = None, recovered: list[float] | None = None
) -> AsyncGenerator[Database]:
    back = None if recovered is None else lambda: recovered.append(time.monotonic())
    database = Database(url, pool_size=pool_size, breaker=breaker, recovered=back)
    try:
        async with asyncio.timeout(LIMIT):
            yield database
    finally:
        async with asyncio.timeout(LIMIT):
            await database.close()


async def ask(database: Database, statement: str = "SELECT 1", reach: Reach = EVERY_TEAM) -> None:
    async with database.one_statement(reach) as connection:
        await connection.execute(text(statement))


async def seconds_until(error: type[Exception], database: Database, statement: str = "SELECT 1") -> float:
    began = time.monotonic()
    with pytest.raises(error):
        await ask(database, statement)
    return time.monotonic() - began


@pytest.mark.alone
async def test_waiting_and_a_silent_statement_together_cost_the_budget_and_no_more(proxy: PostgresProxy) -> None:
    async with database_at(proxy.url) as database:
        holding = asyncio.create_task(ask(database, f"SELECT pg_sleep({WAIT / 2})"))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(seconds_until(DatabaseUnavailable, database, "SELECT pg_sleep(.3)"))
        await holding
        proxy.stall()
        assert BUDGET - SLACK < await waiting < BUDGET + SLACK
        proxy.heal()


@pytest.mark.alone
async def test_a_host_that_takes_connections_and_never_speaks_opens_the_breaker_within_the_budget() -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with asyncio.timeout(LIMIT), await asyncio.start_server(nothing, "127.0.0.1", 0) as server:
        port, breaker = server.sockets[0].getsockname()[1], Breaker()
        async with database_at(f"postgresql://u@127.0.0.1:{port}/db", breaker=breaker) as database:
            assert await seconds_until(DatabaseUnavailable, database) < BUDGET + SLACK
            assert breaker.is_open


@pytest.mark.alone
async def test_who_finds_no_connection_while_others_are_served_is_told_that_it_is_busy(database_url: str) -> None:
    breaker = Breaker()
    async with database_at(database_url, breaker=breaker) as database:

        async def hold() -> None:
            async with database.one_statement(EVERY_TEAM) as connection:
                await connection.execute(text("BEGIN"))
                for _ in range(6):
                    await connection.execute(text("SELECT pg_sleep(.4)"))
                await connection.execute(text("COMMIT"))

        holding = asyncio.create_task(hold())
        await asyncio.sleep(0)
        with pytest.raises(DatabaseBusy) as busy:
            await ask(database)
        assert busy.value.retry_after == 1
        await holding
        assert not breaker.is_open
        await ask(database)


@pytest.mark.alone
async def test_who_finds_none_while_nobody_is_served_opens_the_breaker_and_everybody_is_let_go(
    proxy: PostgresProxy,
) -> None:
    breaker = Breaker()
    async with database_at(proxy.url, breaker=breaker) as database:
        await ask(database)
        proxy.stall()
        stuck = asyncio.create_task(seconds_until(DatabaseUnavailable, database))
        first = asyncio.create_task(seconds_until(DatabaseUnavailable, database))
        await asyncio.sleep(WAIT / 2)
        second = asyncio.create_task(seconds_until(DatabaseUnavailable, database))
        assert WAIT <= await first < WAIT + SLACK
        assert await second < WAIT / 2 + SLACK, "let go as soon as it was clear"
        assert await seconds_until(DatabaseUnavailable, database) < SLACK
        assert await stuck < BUDGET + SLACK
        assert breaker.is_open
        proxy.heal()


async def test_an_answer_that_closes_the_breaker_is_told_of_once(proxy: PostgresProxy) -> None:
    recovered: list[float] = []
    async with database_at(proxy.url, breaker=Breaker(window=0, threshold=1), recovered=recovered) as database:
        await ask(database)
        proxy.refuse()
        await seconds_until(DatabaseUnavailable, database)
        assert recovered == []
        proxy.heal()
        await ask(database)
        await ask(database)
        assert len(recovered) == 1


async def test_a_refused_statement_closes_it_too_and_a_connection_that_asks_nothing_does_not(
    proxy: PostgresProxy,
) -> None:
    breaker = Breaker(window=0, threshold=1)
    async with database_at(proxy.url, breaker=breaker) as database:
        await ask(database)
        await opens(database, proxy)
        async with database.one_statement(EVERY_TEAM):
            pass
        assert breaker.is_open
        with pytest.raises(Exception, match="division"):
            await ask(database, "SELECT 1 / 0")
        assert not breaker.is_open


async def opens(database: Database, proxy: PostgresProxy) -> None:
    proxy.refuse()
    await seconds_until(DatabaseUnavailable, database)
    proxy.heal()


async def test_a_cancelled_probe_gives_its_place_to_the_next(proxy: PostgresProxy) -> None:
    breaker = Breaker(window=0, threshold=1)
    async with database_at(proxy.url, pool_size=2, breaker=breaker) as database:
        await opens(database, proxy)
        proxy.stall()
        probe = asyncio.create_task(ask(database))
        await asyncio.sleep(0.05)
        assert await seconds_until(DatabaseUnavailable, database) < SLACK, "one probe at a time"
        probe.cancel()
        await asyncio.wait([probe])
        assert probe.cancelled()
        proxy.heal()
        await ask(database)
        assert not breaker.is_open


@pytest.mark.alone
async def test_a_statement_whose_asker_leaves_is_brought_to_its_end_without_asking_the_server_to_cancel(
    proxy: PostgresProxy, rows: Rows
) -> None:
    await rows("CREATE TABLE IF NOT EXISTS left_behind (id uuid)")
    kept = uuid4()
    async with database_at(proxy.url) as database:
        await ask(database)
        connections = proxy.connections
        leaving = asyncio.create_task(
            ask(database, f"INSERT INTO left_behind SELECT '{kept}' FROM pg_sleep(.2)")  # noqa: S608 - an id of ours
        )
        await asyncio.sleep(0.05)
        leaving.cancel()
        began = time.monotonic()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        assert time.monotonic() - began < 0.1, "nobody waits for it"
        await ask(database)
        assert proxy.connections == connections, "neither a second connection nor a request to cancel"
    assert len(await rows("SELECT id FROM left_behind WHERE id = %s", kept)) == 1
    await rows("DROP TABLE left_behind")


async def test_a_cancelled_statement_of_a_tenant_never_goes_without_its_wall(database_url: str, rows: Rows) -> None:
    (user,) = await rows("SELECT id, full_name FROM users LIMIT 1") or await a_user(rows)
    async with database_at(database_url) as database:
        stranger = Tenant(new_id())
        loop = asyncio.get_running_loop()
        for microseconds in range(0, 6_000, 200):
            changing = asyncio.create_task(
                ask(database, f"UPDATE users SET full_name = 'stolen' WHERE id = '{user['id']}'", stranger)  # noqa: S608
            )
            loop.call_later(microseconds / 1e6, changing.cancel)
            await asyncio.wait([changing])
    (after,) = await rows("SELECT full_name FROM users WHERE id = %s", user["id"])
    assert after["full_name"] == user["full_name"]


async def a_user(rows: Rows) -> list[dict[str, object]]:
    await rows(
        "INSERT INTO users (id, team_id, email, role) SELECT %s, id, %s, 'user' FROM teams LIMIT 1",
        new_id(),
        f"{uuid4().hex}@example.com",
    )
    return await rows("SELECT id, full_name FROM users LIMIT 1")


async def test_whenever_askers_leave_no_connection_is_lost_and_never_are_there_more_than_the_pool(
    proxy: PostgresProxy, database_url: str
) -> None:
    loop, complaints = asyncio.get_running_loop(), list[dict[str, object]]()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    async with database_at(proxy.url, pool_size=3) as database:
        for round_number in range(40):
            asking = [asyncio.create_task(ask(database, "SELECT pg_sleep(.003)")) for _ in range(8)]
            for number, task in enumerate(asking):
                loop.call_later((round_number * 7 + number * 3) % 40 / 4000, task.cancel)
            await asyncio.wait(asking)
            if round_number % 10 == 9:
                proxy.drop()
        await asyncio.gather(*(ask(database) for _ in range(3)))
        assert await at_the_server(database_url) <= 3
    assert await at_the_server(database_url) == 0
    gc.collect()
    loop.set_exception_handler(None)
    assert complaints == []  # asyncio's, of what nobody waited for


async def test_who_asks_again_on_a_connection_that_is_gone_hears_so_and_gives_the_place_back(
    proxy: PostgresProxy,
) -> None:
    async with database_at(proxy.url) as database:
        async with database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("SELECT 1"))
            proxy.drop()
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable):
                    await connection.execute(text("SELECT 1"))
        await ask(database)


async def test_a_connection_that_the_loop_cannot_watch_is_gone_and_whoever_asked_hears_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database_at(database_url) as database:
        await ask(database)
        with monkeypatch.context() as broken:
            broken.setattr(asyncio.get_running_loop(), "add_reader", _no_more)
            with pytest.raises(DatabaseUnavailable):
                await ask(database)
        await ask(database)


def _no_more(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no more")


async def test_connections_that_nobody_needs_any_more_are_not_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database_at(database_url, pool_size=3) as database:
        await asyncio.gather(*(ask(database, "SELECT pg_sleep(.05)") for _ in range(3)))
        assert await at_the_server(database_url) == 3
        monkeypatch.setattr("lib.db.pool.RECYCLE", 0)
        await ask(database)
        assert await at_the_server(database_url) == 0
    assert await at_the_server(database_url) == 0


async def at_the_server(database_url: str) -> int:
    """Return how many of the proxy's clients the server knows."""
    async with asyncio.timeout(5), await psycopg.AsyncConnection.connect(database_url, autocommit=True) as onlooker:
        counted = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'parley' AND datname = current_database()"
        )
        seen, before = -1, -2
        while seen != before:  # a backend leaves some time after its client
            before = seen
            await asyncio.sleep(0.1)
            row = await (await onlooker.execute(counted)).fetchone()
            seen = row[0] if row else 0
        return seen


async def test_places_are_given_in_the_order_of_asking() -> None:
    places, served = Places(1), list[int]()

    async def visit(number: int) -> None:
        await places.take(patience=1)
        served.append(number)
        await asyncio.sleep(0)
        places.give_back()

    await asyncio.gather(*(visit(number) for number in range(5)))
    assert served == [0, 1, 2, 3, 4]


async def test_a_place_that_comes_in_the_moment_of_giving_up_is_not_lost() -> None:
    places = Places(1)
    await places.take(patience=1)
    leaving = asyncio.create_task(places.take(patience=1))
    await asyncio.sleep(0)
    places.give_back()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    await places.take(patience=0)


async def test_who_gave_up_is_not_in_the_way_of_who_waits() -> None:
    places = Places(1)
    await places.take(patience=1)
    with pytest.raises(TimeoutError):
        await places.take(patience=0)
    waiting = asyncio.create_task(places.take(patience=1))
    await asyncio.sleep(0)
    places.give_back()
    await waiting
    left = [asyncio.create_task(places.take(patience=1)) for _ in range(3)]
    await asyncio.sleep(0)
    places.let_go()
    assert all(isinstance(end, LetGo) for end in await asyncio.gather(*left, return_exceptions=True))
