"""Postgres roles that are no superuser's, on a server that has never seen Parley."""

import re
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from alembic.util import CommandError
from sqlalchemy import text

from lib.db.events import NO_CLIENT
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM, Asker, Tenant
from lib.errors import DatabaseUnavailable
from lib.health.database import read_database
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.store import users
from lib.store.users import NewUser
from local.postgres import postgres
from scripts.init_db import ROOT, upgrade
from tests.scripts.test_migrations import apply_with_psql, sql_files


@pytest.fixture
def fresh_server(stopped_server: Path) -> Generator[str]:
    """The URL of a server of the test's own, as its superuser."""
    with postgres(stopped_server, fsync="off") as url:
        yield url


def as_role(url: str, role: str, rights: str = "") -> str:
    """Make a role that may log in, with a database that it owns, and return the URL."""
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE ROLE {role} LOGIN {rights}".encode())
        server.execute(f"CREATE DATABASE {role} OWNER {role}".encode())
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace("postgres@", f"{role}@"), path=f"/{role}").geturl()


def role_of_few_rights() -> str:
    """Return the SQL of the handbook."""
    chapter = (ROOT / "docs" / "operations.md").read_text()
    (told,) = (block for block in re.findall(r"```sql\n(.*?)```", chapter, re.DOTALL) if "CREATE ROLE parley " in block)
    return told


async def sees(database: Database, user_id: object) -> tuple[int, int]:
    """Return how many users the user sees, and how many the deployment."""
    counts: list[int] = []
    for reach in (Tenant(DEFAULT_TEAM_ID, Asker(user_id)), EVERY_TEAM):  # pyright: ignore[reportArgumentType]
        async with database.one_statement(reach) as connection:
            counts.append((await connection.execute(text("SELECT count(*) FROM users"))).scalar_one())
    return counts[0], counts[1]


async def a_user_of_two_teams(database: Database) -> object:
    async with database.one_statement(EVERY_TEAM) as connection:
        made = await connection.execute(text("INSERT INTO teams (name, slug) VALUES ('O', 'other') RETURNING id"))
        for team_id in (made.scalar_one(), DEFAULT_TEAM_ID):
            new = NewUser(id=new_id(), team_id=team_id, email="a@example.com", password_hash=None)
            await users.create(connection, new, client=NO_CLIENT)
        return new.id


async def test_an_owner_that_bypasses_policies_and_may_make_roles_is_walled_in_as_neons_is(fresh_server: str) -> None:
    url = as_role(fresh_server, "neondb_owner", "CREATEROLE BYPASSRLS")
    upgrade(url)
    database = Database(url)
    assert await sees(database, await a_user_of_two_teams(database)) == (1, 2)
    await database.close()


async def test_psql_makes_the_same_wall_for_such_an_owner(fresh_server: str) -> None:
    url = as_role(fresh_server, "neondb_owner", "CREATEROLE BYPASSRLS")
    apply_with_psql(url, *sql_files())
    database = Database(url)
    assert await sees(database, await a_user_of_two_teams(database)) == (1, 2)
    await database.close()


@pytest.mark.parametrize("lacks", ["REVOKE parley_tenant FROM parley", "DROP POLICY deployment ON teams"])
async def test_health_and_the_doctor_tell_of_a_role_that_the_wall_shuts_out(fresh_server: str, lacks: str) -> None:
    url = as_role(fresh_server, "owner", "CREATEROLE")
    upgrade(url)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(role_of_few_rights().encode())
    database = Database(url.replace("owner@", "parley@"))
    assert (await read_database(database, configured=True)).status == "ok"
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(lacks.encode())
    reading = await read_database(database, configured=True)
    assert (reading.status, "grant or a policy" in (reading.detail or "")) == ("degraded", True)
    await database.close()


async def test_an_owner_that_may_make_no_roles_needs_an_administrators_help_once(fresh_server: str) -> None:
    url = as_role(fresh_server, "plain_owner")
    with pytest.raises(CommandError, match="permission denied to create role"):
        upgrade(url)
    with psycopg.connect(fresh_server, autocommit=True) as server:
        server.execute("CREATE ROLE parley_tenant NOLOGIN")
        with pytest.raises(CommandError, match="permission denied to set role"):
            upgrade(url)
        server.execute("GRANT parley_tenant TO plain_owner")
    upgrade(url)
    database = Database(url)
    assert await sees(database, await a_user_of_two_teams(database)) == (1, 2)
    await database.close()


async def test_a_role_of_its_own_for_the_functions_is_a_member_of_the_owner(fresh_server: str) -> None:
    url = as_role(fresh_server, "owner", "CREATEROLE")
    upgrade(url)
    owners = Database(url)
    user_id = await a_user_of_two_teams(owners)
    functions = as_role(fresh_server, "functions").replace("/functions?", "/owner?")
    database = Database(functions)
    with pytest.raises(DatabaseUnavailable):
        await sees(database, user_id)
    await database.close()
    with psycopg.connect(fresh_server, autocommit=True) as server:
        server.execute("GRANT owner TO functions")
    database = Database(functions)
    assert await sees(database, user_id) == (1, 2)
    await database.close()
    await owners.close()


async def test_the_handbooks_role_of_few_rights_serves_and_cannot_take_the_wall_down(fresh_server: str) -> None:
    url = as_role(fresh_server, "owner", "CREATEROLE")
    upgrade(url)
    told = role_of_few_rights()
    for _ in range(2):  # as the chapter says, after a migration once more
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(told.encode())
            told = told.replace("CREATE ROLE", "ALTER ROLE")
    functions = url.replace("owner@", "parley@")
    database = Database(functions)
    assert await sees(database, await a_user_of_two_teams(database)) == (1, 2)
    await database.close()
    with psycopg.connect(functions) as ours, pytest.raises(psycopg.errors.InsufficientPrivilege):
        ours.execute("ALTER TABLE users DISABLE ROW LEVEL SECURITY")


async def test_without_the_tenants_role_the_database_is_none_of_ours_and_says_so(
    fresh_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade(fresh_server)
    with psycopg.connect(fresh_server, autocommit=True) as server:
        server.execute("ALTER ROLE parley_tenant RENAME TO somebody")
    database = Database(fresh_server)
    with pytest.raises(DatabaseUnavailable):
        await sees(database, new_id())
    assert "22023" in caplog.text
    await database.close()
