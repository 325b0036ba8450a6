"""How an instance reads API keys."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from lib.auth.api_keys import FRESH, MOST_KNOWN, KeyReader, id_in, make_key, name_of
from lib.auth.callers import Caller
from lib.auth.identity import Key
from lib.db.events import NO_CLIENT
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.errors import DatabaseUnavailable, Unauthenticated
from lib.ids import new_id
from lib.store import users
from lib.store.users import NewUser
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.web import Rows


class Clock:
    """A clock that a test winds."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database(proxy: PostgresProxy) -> AsyncGenerator[Database]:
    database = Database(proxy.url)
    yield database
    await database.close()


@pytest.fixture
async def owner(database: Database, team_id: UUID) -> Caller:
    new = NewUser(id=new_id(), team_id=team_id, email=f"{uuid4()}@example.com", password_hash=None)
    async with database.one_statement(EVERY_TEAM) as connection:
        await users.create(connection, new, client=NO_CLIENT)
    return Caller(team_id, new.id)


async def make(database: Database, owner: Caller, *, expires_at: datetime | None = None) -> str:
    made = await make_key(database, owner, name="A program", scopes={"read"}, expires_at=expires_at, client=NO_CLIENT)
    return made.key


async def test_a_key_costs_one_look_a_minute(
    database: Database, owner: Caller, proxy: PostgresProxy, rows: Rows
) -> None:
    key, clock = await make(database, owner), Clock()
    reader = KeyReader(database, clock=clock)
    read = await reader.read(key)
    assert read == Key(id_in(key) or uuid4(), owner.user, owner.team_id, frozenset({"read"}), None)
    (first,) = await rows("SELECT last_used_at FROM api_keys WHERE id = %s", read.id)
    asked = proxy.messages
    clock.now += FRESH
    assert await reader.read(key) == read
    assert proxy.messages == asked
    clock.now += 0.1
    assert await reader.read(key) == read
    assert proxy.messages == asked + 1
    (again,) = await rows("SELECT last_used_at FROM api_keys WHERE id = %s", read.id)
    assert again["last_used_at"] > first["last_used_at"]


async def test_a_revoked_key_is_forgotten_with_the_next_look(database: Database, owner: Caller, rows: Rows) -> None:
    key, clock = await make(database, owner), Clock()
    reader = KeyReader(database, clock=clock)
    read = await reader.read(key)
    await rows("UPDATE api_keys SET revoked_at = now() WHERE id = %s", read.id)
    assert await reader.read(key) == read  # its statements are refused, of which this is none
    clock.now += FRESH + 1
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await reader.read(key)


async def test_while_the_database_is_away_a_known_key_is_what_it_was(
    database: Database, owner: Caller, proxy: PostgresProxy
) -> None:
    key, clock = await make(database, owner), Clock()
    other = await make(database, owner)
    reader = KeyReader(database, clock=clock)
    read = await reader.read(key)
    proxy.refuse()
    clock.now += FRESH + 1
    assert await reader.read(key) == read
    with pytest.raises(DatabaseUnavailable):
        await reader.read(other)


async def test_a_known_key_expires_while_the_database_is_away_too(
    database: Database, owner: Caller, proxy: PostgresProxy
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    key, reader = await make(database, owner, expires_at=soon), KeyReader(database)
    await reader.read(key)
    proxy.refuse()
    await asyncio.sleep((soon - datetime.now(UTC)).total_seconds())
    with pytest.raises(Unauthenticated):
        await reader.read(key)


async def test_an_instance_remembers_so_many_keys_and_no_more(
    database: Database, owner: Caller, proxy: PostgresProxy, rows: Rows
) -> None:
    first, second = await make(database, owner), await make(database, owner)
    reader = KeyReader(database)
    await reader.read(first)
    hashes = [f"{name_of(new_id())}_{'A' * 40}{number:03}" for number in range(MOST_KNOWN - 1)]
    await rows(
        "INSERT INTO api_keys (id, team_id, user_id, name, scopes, secret_hash)"
        " SELECT id, %s, %s, 'Many', ARRAY['read'], sha256(convert_to(key, 'UTF8'))"
        " FROM unnest(CAST(%s AS uuid[]), CAST(%s AS text[])) AS given (id, key)",
        *(owner.team_id, owner.user, [id_in(key) for key in hashes], hashes),
    )
    for key in hashes:
        await reader.read(key)
    asked = proxy.messages
    await reader.read(first)
    assert proxy.messages == asked
    await reader.read(second)  # one too many: the first is forgotten
    await reader.read(first)
    assert proxy.messages == asked + 2


@pytest.mark.parametrize(
    "key", ["", "parley_", "parley", "eyJhbGciOiJIUzI1NiJ9.e30.x", f"parley_{'A' * 22}_{'B' * 42}"]
)
async def test_what_is_not_written_as_a_key_is_asked_of_nobody(key: str) -> None:
    with pytest.raises(Unauthenticated):
        await KeyReader(Database(None)).read(key)


def test_an_id_has_one_spelling() -> None:
    key_id = new_id()
    assert id_in(f"{name_of(key_id)}_{'A' * 43}") == key_id
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spelled = [f"{name_of(key_id)[:-1]}{letter}_{'A' * 43}" for letter in alphabet]
    assert [id_in(key) for key in spelled].count(key_id) == 1
