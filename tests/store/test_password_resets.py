"""A reset is taken by one, however many hold its token at once, and waits for nobody who waits for it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from lib.db.events import NO_CLIENT, new_event
from lib.db.session import Connection, Database
from lib.db.tenant import EVERY_TEAM
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.store import password_resets, passwords, users
from lib.store.password_resets import BATCH, Token, purge
from lib.store.users import NewUser
from tests.fixtures.web import Rows

Run = Callable[[int, Callable[[Connection], Awaitable[object]]], Coroutine[Any, Any, object]]


@pytest.fixture
async def run(database_url: str) -> AsyncGenerator[Run]:
    """Run a statement on one of twenty instances, each with a connection that is made already."""
    async with AsyncExitStack() as stack:
        databases = [Database(database_url) for _ in range(20)]
        for database in databases:
            stack.push_async_callback(database.close)

        async def on(number: int, statement: Callable[[Connection], Awaitable[object]]) -> object:
            async with databases[number].one_statement(EVERY_TEAM) as connection:
                return await statement(connection)

        await asyncio.gather(*(on(number, purge) for number in range(20)))
        yield on


async def account(run: Run) -> UUID:
    user_id = new_id()
    new = NewUser(id=user_id, team_id=DEFAULT_TEAM_ID, email=f"{user_id}@example.com", password_hash="first")
    await run(0, lambda connection: users.create(connection, new, client=NO_CLIENT))
    return user_id


async def reset_of(run: Run, user_id: UUID) -> Token:
    token = Token(new_id(), b"hash of a secret")
    event = new_event("password_reset_asked", team_id=DEFAULT_TEAM_ID, user_id=user_id)
    await run(0, lambda connection: password_resets.create(connection, token, event))
    return token


def taking(token: Token, password_hash: str) -> Callable[[Connection], Awaitable[object]]:
    event = new_event("password_reset", team_id=DEFAULT_TEAM_ID)
    return lambda connection: password_resets.take(connection, token, event, password_hash=password_hash)


@asynccontextmanager
async def holding(user_id: UUID, database_url: str) -> AsyncGenerator[Callable[[int], Awaitable[None]]]:
    """Hold an account's row, and yield what waits until so many statements wait for it; then let them go on."""
    async with (
        await psycopg.AsyncConnection.connect(database_url) as holder,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as observer,
    ):
        await holder.execute("SELECT FROM users WHERE id = %s FOR UPDATE", (user_id,))

        async def waiting(count: int) -> None:
            seen = 0
            async with asyncio.timeout(2):
                while seen < count:
                    cursor = await observer.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                    (seen,) = await cursor.fetchone() or (0,)

        yield waiting


async def test_of_twenty_connections_at_once_one_takes_the_token(run: Run, rows: Rows, database_url: str) -> None:
    user_id = await account(run)
    token = await reset_of(run, user_id)
    async with holding(user_id, database_url) as waiting:
        taking_it = [asyncio.create_task(run(number, taking(token, f"hash {number}"))) for number in range(20)]
        await waiting(20)
    taken = await asyncio.gather(*taking_it)
    (winner,) = [number for number, result in enumerate(taken) if result is not None]
    assert taken[winner] == (user_id, DEFAULT_TEAM_ID)
    (row,) = await rows("SELECT password_hash FROM users WHERE id = %s", user_id)
    assert row["password_hash"] == f"hash {winner}"
    (events,) = await rows(
        "SELECT count(*) FROM security_events WHERE user_id = %s AND kind = 'password_reset'", user_id
    )
    assert events["count"] == 1


async def test_a_change_and_a_reset_of_one_account_do_not_wait_for_each_other(run: Run, database_url: str) -> None:
    user_id = await account(run)
    token = await reset_of(run, user_id)
    event = new_event("password_changed", team_id=DEFAULT_TEAM_ID, user_id=user_id)

    async with holding(user_id, database_url) as waiting:
        change = asyncio.create_task(
            run(1, lambda connection: passwords.change(connection, event, before="first", after="changed", but=None))
        )
        await waiting(1)
        reset = asyncio.create_task(run(2, taking(token, "reset")))
        await waiting(2)
    assert await change is True
    assert await reset is None


async def test_resets_long_over_are_deleted_and_nothing_else(run: Run, rows: Rows) -> None:
    user_id = await account(run)
    kept = await reset_of(run, user_id)
    await rows(
        "INSERT INTO password_resets (id, team_id, user_id, token_hash, expires_at)"
        " SELECT gen_random_uuid(), %s, %s, '', now() - interval '25 hours' FROM generate_series(1, %s)",
        DEFAULT_TEAM_ID,
        user_id,
        BATCH + 7,
    )
    await rows(
        "INSERT INTO password_resets (id, team_id, user_id, token_hash, expires_at)"
        " VALUES (gen_random_uuid(), %s, %s, '', now() - interval '23 hours')",
        DEFAULT_TEAM_ID,
        user_id,
    )
    assert [await run(0, purge) for _ in range(3)] == [BATCH, 7, 0]
    left = await rows("SELECT id FROM password_resets WHERE user_id = %s", user_id)
    assert len(left) == 2
    assert kept.reset_id in {row["id"] for row in left}
