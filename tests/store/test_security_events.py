"""Security events, in the database."""

from collections.abc import AsyncGenerator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from lib.db.events import LONGEST_DEVICE, Client, event_insert, new_event
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM, Tenant
from lib.ids import new_id
from lib.store import security_events
from tests.fixtures.web import Rows


@pytest.fixture
async def team_id(rows: Rows) -> UUID:
    (made,) = await rows("INSERT INTO teams (name, slug) VALUES ('Team', %s) RETURNING id", uuid4().hex)
    return made["id"]


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


async def test_an_event_is_read_as_it_was_written(database: Database, team_id: UUID) -> None:
    user_id, admin_id = new_id(), new_id()
    event = new_event(
        "role_changed",
        team_id=team_id,
        user_id=user_id,
        actor_id=admin_id,
        detail={"from": "user", "to": "admin"},
        client=Client("192.0.2.1", "A browser/1.0"),
    )
    async with database.one_statement(Tenant(team_id)) as connection:
        await security_events.record(connection, event)
        (past,) = await security_events.page(connection, team_id=team_id, limit=10)
    assert (past.id, past.kind, past.user_id, past.actor_id) == (event.id, "role_changed", user_id, admin_id)
    assert past.detail == {"from": "user", "to": "admin"}
    assert (past.address, past.device) == ("192.0.2.1", "A browser/1.0")
    assert past.created_at.utcoffset() is not None


async def test_the_newest_come_first_and_a_page_goes_on_after_the_last(database: Database, team_id: UUID) -> None:
    written = [new_event("login", team_id=team_id, user_id=new_id()) for _ in range(5)]
    async with database.one_statement(Tenant(team_id)) as connection:
        for event in written:
            await security_events.record(connection, event)
        first = await security_events.page(connection, team_id=team_id, limit=3)
        rest = await security_events.page(connection, team_id=team_id, limit=3, after=first[-1].id)
    assert [event.id for event in (*first, *rest)] == [event.id for event in reversed(written)]


async def test_a_page_may_be_of_one_kind_or_one_user(database: Database, team_id: UUID) -> None:
    ada, bob = new_id(), new_id()
    login = new_event("login", team_id=team_id, user_id=ada)
    made = new_event("key_made", team_id=team_id, user_id=bob, actor_id=ada)
    async with database.one_statement(Tenant(team_id)) as connection:
        for event in (login, made):
            await security_events.record(connection, event)
        of_kind = await security_events.page(connection, team_id=team_id, limit=9, kind="login")
        of_bob = await security_events.page(connection, team_id=team_id, limit=9, user_id=bob)
    assert [event.id for event in of_kind] == [login.id]
    assert [event.id for event in of_bob] == [made.id]


async def test_another_teams_events_are_not_there(database: Database, team_id: UUID, rows: Rows) -> None:
    (other,) = await rows("INSERT INTO teams (name, slug) VALUES ('Other', %s) RETURNING id", uuid4().hex)
    async with database.one_statement(EVERY_TEAM) as connection:
        await security_events.record(connection, new_event("login", team_id=team_id))
        assert await security_events.page(connection, team_id=other["id"], limit=9) == ()
    async with database.one_statement(Tenant(other["id"])) as connection:
        assert await security_events.page(connection, team_id=team_id, limit=9) == ()


async def test_a_statement_writes_its_event_with_its_change_or_neither(database: Database, team_id: UUID) -> None:
    user_id = new_id()
    event_of_team = event_insert("changed", team_id="source.id", user_id=":user_id")
    renamed = text(f"""
        WITH changed AS (UPDATE teams SET name = 'Renamed' WHERE id = :id RETURNING id), event AS ({event_of_team})
        SELECT count(*) FROM changed
    """)  # noqa: S608
    async with database.one_statement(EVERY_TEAM) as connection:
        for named in (team_id, new_id()):
            event = new_event("user_updated", team_id=new_id())
            await connection.execute(renamed, event.parameters | {"id": named, "user_id": user_id})
        (past,) = await security_events.page(connection, team_id=team_id, limit=9)
    assert (past.kind, past.user_id) == ("user_updated", user_id)


def test_an_actor_who_is_the_user_is_not_named_twice() -> None:
    ada = new_id()
    assert new_event("logout", team_id=new_id(), user_id=ada, actor_id=ada).actor_id is None


@pytest.mark.parametrize(
    ("said", "kept"), [("A\r\nforged: line\x1b[0m", "Aforged: line[0m"), ("x" * 999, "x" * LONGEST_DEVICE), (" ", None)]
)
def test_what_a_client_calls_itself_is_kept_to_a_line(said: str, kept: str | None) -> None:
    assert new_event("login", team_id=new_id(), client=Client(None, said)).device == kept
