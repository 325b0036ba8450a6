"""The wall between tenants, asked past every filter of ours."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import func, select, text

from lib.db.events import NO_CLIENT
from lib.db.session import Database
from lib.db.tables import metadata
from lib.db.tenant import EVERY_TEAM, Asker, Reach, Tenant
from lib.errors import Forbidden, Unauthenticated
from lib.ids import new_id
from lib.store import answers, sessions, users
from lib.store.sessions import NewSession
from lib.store.users import NewUser
from lib.turns import EndedTurn, TurnRecord, TurnResult
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.web import Rows

WALLED = sorted(table.name for table in metadata.tables.values() if "team_id" in table.c or table.name == "teams")


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


async def a_team(rows: Rows) -> UUID:
    (team,) = await rows("INSERT INTO teams (name, slug) VALUES ('T', %s) RETURNING id", f"t-{new_id().hex[-12:]}")
    return team["id"]


async def a_user(database: Database, team_id: UUID) -> Asker:
    """Make a user of the team with a turn, and return them as one who is signed in."""
    user_id, session_id = new_id(), new_id()
    new = NewUser(id=user_id, team_id=team_id, email=f"{user_id}@example.com", password_hash=None)
    session = NewSession(
        id=session_id,
        team_id=team_id,
        user_id=user_id,
        password_hash=None,
        method="password",
        client=NO_CLIENT,
        lifetime=timedelta(days=1),
    )
    turn = TurnRecord(team_id, user_id, new_id(), new_id(), new_id(), "A question?", opens=True)
    async with database.one_statement(EVERY_TEAM) as connection:
        await users.create(connection, new, client=NO_CLIENT)
        await sessions.begin(connection, session)
        await answers.save_whole(connection, EndedTurn(turn, TurnResult("complete", "An answer."), begun=False))
    return Asker(user_id, session_id)


async def count(database: Database, reach: Reach, table: str) -> int:
    async with database.one_statement(reach) as connection:
        return (await connection.execute(select(func.count()).select_from(metadata.tables[table]))).scalar_one()


async def test_whoever_logs_in_to_the_database_here_would_bypass_every_policy(database: Database) -> None:
    async with database.one_statement(EVERY_TEAM) as connection:
        asked = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        assert (await connection.execute(text(asked))).scalar_one() is True


@pytest.mark.parametrize("table", ["teams", "users", "sessions", "conversations", "messages", "interaction_logs"])
async def test_a_query_that_forgets_its_filter_sees_the_tenants_rows_alone(
    database: Database, rows: Rows, table: str
) -> None:
    mine, theirs = await a_team(rows), await a_team(rows)
    await a_user(database, theirs)
    assert await count(database, Tenant(mine), table) == (1 if table == "teams" else 0)
    asker = await a_user(database, mine)
    seen = await count(database, Tenant(mine, asker), table)
    assert seen == (2 if table == "messages" else 1)
    assert await count(database, EVERY_TEAM, table) > seen


@pytest.mark.parametrize("table", WALLED)
async def test_a_wall_stands_around_every_table_of_tenants(rows: Rows, table: str) -> None:
    (state,) = await rows(
        "SELECT relrowsecurity, (SELECT count(*) FROM pg_policies WHERE tablename = relname"
        " AND roles = '{parley_tenant}' AND cmd = 'ALL') AS policies FROM pg_class WHERE oid = %s::regclass",
        table,
    )
    assert (state["relrowsecurity"], state["policies"]) == (True, 1)


async def test_the_tenants_role_owns_nothing_and_bypasses_nothing(rows: Rows) -> None:
    (role,) = await rows(
        "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole,"
        " (SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid) AS owns"
        " FROM pg_roles WHERE rolname = 'parley_tenant'"
    )
    assert not any(role.values())


async def test_a_tenant_writes_and_deletes_nothing_of_anothers(database: Database, rows: Rows) -> None:
    mine, theirs = await a_team(rows), await a_team(rows)
    asker = await a_user(database, theirs)
    async with database.one_statement(Tenant(mine)) as connection:
        for statement in ("UPDATE users SET role = 'admin'", "DELETE FROM users", "DELETE FROM conversations"):
            assert (await connection.execute(text(statement))).rowcount == 0
        with pytest.raises(Exception, match="row-level security"):
            inserted = text("INSERT INTO users (id, team_id, email) VALUES (:id, :team_id, 'a@example.com')")
            await connection.execute(inserted, {"id": new_id(), "team_id": theirs})
    (user,) = await rows("SELECT role FROM users WHERE id = %s", asker.user_id)
    assert user["role"] == "user"


async def test_a_write_that_the_wall_refuses_is_no_outage(database: Database, rows: Rows) -> None:
    mine, theirs = await a_team(rows), await a_team(rows)
    for _ in range(10):
        with pytest.raises(Exception, match="row-level security"):
            async with database.one_statement(Tenant(mine)) as connection:
                moved = text("INSERT INTO workspaces (id, team_id, name) VALUES (:id, :team_id, '')")
                await connection.execute(moved, {"id": new_id(), "team_id": theirs})
    assert await count(database, Tenant(mine), "workspaces") == 0


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE sessions SET revoked_at = now() WHERE id = %(session)s",
        "UPDATE sessions SET expires_at = now() WHERE id = %(session)s",
        "DELETE FROM sessions WHERE id = %(session)s",
        "UPDATE users SET is_active = false WHERE id = %(user)s",
        "UPDATE teams SET is_active = false WHERE id = %(team)s",
        "DELETE FROM users WHERE id = %(user)s",
    ],
)
async def test_what_ends_a_sign_in_ends_it_for_the_very_next_statement(
    database: Database, rows: Rows, database_url: str, end: str
) -> None:
    team = await a_team(rows)
    asker = await a_user(database, team)
    tenant = Tenant(team, asker)
    async with database.one_statement(tenant) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM users"))).scalar_one() == 1
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            named = {"session": asker.session_id, "user": asker.user_id, "team": team}
            await other.execute(end.encode(), named)
        for statement in (
            "SELECT count(*) FROM users",
            "UPDATE users SET full_name = 'Changed'",
            "INSERT INTO workspaces (id, team_id, name) SELECT gen_random_uuid(), id, 'Made' FROM teams",
        ):
            with pytest.raises(Unauthenticated):
                await connection.execute(text(statement))
    assert await rows("SELECT id FROM workspaces WHERE team_id = %s", team) == []
    assert await rows("SELECT id FROM users WHERE team_id = %s AND full_name IS NOT NULL", team) == []


async def test_an_administrators_statement_is_refused_once_they_are_none(database: Database, rows: Rows) -> None:
    team = await a_team(rows)
    asker = await a_user(database, team)
    admin = Asker(asker.user_id, asker.session_id, admin=True)
    with pytest.raises(Forbidden):
        await count(database, Tenant(team, admin), "users")
    await rows("UPDATE users SET role = 'admin' WHERE id = %s", asker.user_id)
    assert await count(database, Tenant(team, admin), "users") == 1


async def test_a_session_speaks_for_its_own_user_and_team_alone(database: Database, rows: Rows) -> None:
    mine, theirs = await a_team(rows), await a_team(rows)
    me, them = await a_user(database, mine), await a_user(database, theirs)
    for tenant in (
        Tenant(theirs, me),
        Tenant(mine, Asker(me.user_id, them.session_id)),
        Tenant(mine, Asker(them.user_id, me.session_id)),
        Tenant(theirs, Asker(me.user_id)),
    ):
        with pytest.raises(Unauthenticated):
            await count(database, tenant, "users")


async def test_a_connection_goes_back_to_the_pool_without_a_tenant(database_url: str, rows: Rows) -> None:
    database, team = Database(database_url), await a_team(rows)
    everybody = await count(database, EVERY_TEAM, "teams")
    for _ in range(3):
        assert await count(database, Tenant(team), "teams") == 1
        assert await count(database, EVERY_TEAM, "teams") >= everybody
    await database.close()


async def test_tenants_that_ask_at_once_over_the_same_connections_see_their_own(database: Database, rows: Rows) -> None:
    teams = [await a_team(rows) for _ in range(6)]

    async def own(team: UUID) -> UUID:
        async with database.one_statement(Tenant(team)) as connection:
            return (await connection.execute(text("SELECT id FROM teams"))).scalar_one()

    assert await asyncio.gather(*(own(team) for team in teams * 10)) == teams * 10


async def test_asking_who_asks_costs_no_round_trip(proxy: PostgresProxy, rows: Rows) -> None:
    database = Database(proxy.url)
    team = await a_team(rows)
    tenant = Tenant(team, await a_user(database, team))
    proxy.messages = 0
    assert await count(database, tenant, "users") == 1
    assert proxy.messages == 1
    await database.close()


async def test_a_key_holds_until_it_is_revoked_or_expires(database: Database, rows: Rows) -> None:
    team = await a_team(rows)
    asker = await a_user(database, team)
    (key,) = await rows(
        "INSERT INTO api_keys (id, team_id, user_id, name, scopes, secret_hash)"
        " VALUES (gen_random_uuid(), %s, %s, 'k', '{read}', '') RETURNING id",
        team,
        asker.user_id,
    )
    tenant = Tenant(team, Asker(asker.user_id, key_id=key["id"]))
    assert await count(database, tenant, "users") == 1
    for end in ("revoked_at = now()", "revoked_at = NULL, expires_at = now()"):
        await rows(f"UPDATE api_keys SET {end} WHERE id = %s", key["id"])  # noqa: S608 - one of the two above
        with pytest.raises(Unauthenticated):
            await count(database, tenant, "users")
    await rows("UPDATE api_keys SET expires_at = %s WHERE id = %s", datetime.now(UTC) + timedelta(1), key["id"])
    assert await count(database, tenant, "users") == 1
