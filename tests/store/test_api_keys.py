"""API keys of an account, made one after the other also where they are made at once."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import psycopg
import pytest

from lib.db.events import NO_CLIENT
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM, Tenant
from lib.errors import TooManyKeys, Unauthenticated
from lib.ids import new_id
from lib.store import api_keys, users
from lib.store.api_keys import MOST_KEYS, NewKey
from lib.store.users import NewUser
from tests.fixtures.web import Rows

WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%api_keys%%'"


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def user_id(database: Database, team_id: UUID) -> UUID:
    new = NewUser(id=new_id(), team_id=team_id, email="ada@example.com", password_hash=None)
    async with database.one_statement(EVERY_TEAM) as connection:
        await users.create(connection, new, client=NO_CLIENT)
    return new.id


def key(user_id: UUID, team_id: UUID) -> NewKey:
    return NewKey(
        id=new_id(),
        team_id=team_id,
        user_id=user_id,
        name="A program",
        scopes=("read",),
        secret_hash=b"hash",
        expires_at=None,
    )


async def make(database: Database, user_id: UUID, team_id: UUID) -> bool:
    """Make a key, and say whether there was room for it."""
    async with database.one_statement(Tenant(team_id)) as connection:
        try:
            await api_keys.create(connection, key(user_id, team_id), client=NO_CLIENT)
        except TooManyKeys:
            return False
    return True


async def test_of_those_who_make_the_last_key_at_once_one_does(
    database: Database, user_id: UUID, team_id: UUID, rows: Rows, database_url: str
) -> None:
    for _ in range(MOST_KEYS - 1):
        assert await make(database, user_id, team_id)
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [user_id])
        making = [asyncio.create_task(make(database, user_id, team_id)) for _ in range(4)]
        async with asyncio.timeout(2):
            while not all(task.done() for task in making) and len(await rows(WAITING)) < len(making):
                pass
    assert sorted(await asyncio.gather(*making)) == [False, False, False, True]
    (kept,) = await rows("SELECT count(*) FROM api_keys WHERE user_id = %s", user_id)
    (events,) = await rows("SELECT count(*) FROM security_events WHERE user_id = %s AND kind = 'key_made'", user_id)
    assert (kept["count"], events["count"]) == (MOST_KEYS, MOST_KEYS)


async def test_an_account_that_is_switched_off_meanwhile_makes_no_key(
    database: Database, user_id: UUID, team_id: UUID, rows: Rows, database_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("UPDATE users SET is_active = false WHERE id = %s", [user_id])
        making = asyncio.create_task(make(database, user_id, team_id))
        async with asyncio.timeout(2):
            while not making.done() and not await rows(WAITING):
                pass
    with pytest.raises(Unauthenticated):
        await making
    assert await rows("SELECT FROM api_keys WHERE user_id = %s", user_id) == []
