"""The migrations make what `lib.db.tables` says, by whichever way they are applied."""

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, NullPool, create_engine, inspect, text

from lib.db.tables import HEAD, metadata
from lib.db.url import psycopg_url
from scripts.init_db import ROOT, upgrade

MIGRATIONS = ROOT / "scripts" / "migrations"


@contextmanager
def connected(url: str) -> Generator[Connection]:
    engine = create_engine(psycopg_url(url), poolclass=NullPool)
    with engine.begin() as connection:
        yield connection


def differences(connection: Connection, wanted: MetaData) -> list[Any]:
    return compare_metadata(MigrationContext.configure(connection, opts={"compare_server_default": True}), wanted)


COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
    WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"


def described(connection: Connection) -> list[tuple[Any, ...]]:
    """Tell all that Postgres knows of the tables."""
    return [tuple(row) for query in (COLUMNS, CONSTRAINTS, INDEXES) for row in connection.execute(text(query))]


def apply_with_psql(url: str, *paths: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for path in paths:
            connection.execute(path.read_bytes())


def sql_files() -> list[Path]:
    return sorted(MIGRATIONS.glob("*.sql"))


def test_the_migrations_make_the_tables_as_the_code_knows_them(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    with connected(empty_database_url) as connection:
        assert differences(connection, metadata) == []
        migrated = described(connection)
        metadata.drop_all(connection)
        metadata.create_all(connection)
        # Autogenerate does not look at check constraints and the order of columns in an index; Postgres does.
        assert described(connection) == migrated


def test_the_code_knows_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(Config(toml_file=ROOT / "pyproject.toml")).get_current_head() == HEAD


def test_a_table_that_differs_is_noticed(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    with connected(empty_database_url) as connection:
        connection.execute(text("ALTER TABLE users ALTER is_active SET DEFAULT false"))
        assert differences(connection, metadata) != []


def test_the_sql_files_make_the_same_database(empty_database_url: str, database_url: str) -> None:
    apply_with_psql(empty_database_url, *sql_files())
    with connected(empty_database_url) as by_hand, connected(database_url) as migrated:
        assert described(by_hand) == described(migrated)
        version, team = (
            text("SELECT version_num FROM alembic_version"),
            text("SELECT id, name FROM teams WHERE slug = 'default'"),
        )
        assert by_hand.scalar(version) == migrated.scalar(version)
        assert by_hand.execute(team).all() == migrated.execute(team).all()


def test_whoever_began_with_psql_may_go_on_with_init_db(empty_database_url: str) -> None:
    apply_with_psql(empty_database_url, sql_files()[0])
    done = upgrade(empty_database_url)
    assert len(done) == len(sql_files()) - 1
    with connected(empty_database_url) as connection:
        assert differences(connection, metadata) == []


def test_a_second_run_does_nothing(empty_database_url: str) -> None:
    assert len(upgrade(empty_database_url)) == len(sql_files())
    assert upgrade(empty_database_url) == []


def test_of_many_runs_at_once_each_migration_runs_in_one(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as gate:
        gate.execute("SELECT pg_advisory_xact_lock(hashtext('parley.migrations'))")
        runs = [
            subprocess.Popen(
                [sys.executable, ROOT / "scripts" / "init_db.py"],
                env=os.environ | {"NEON_DATABASE_URL": empty_database_url},
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        await_waiters(empty_database_url, 2)
        gate.commit()
        said = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    ran = sorted(line[:3] for text in said for line in text.splitlines() if line[:3].isdecimal())
    assert ran == [path.name[:3] for path in sql_files()]


def await_waiters(url: str, count: int) -> None:
    """Return once `count` connections wait for the lock."""
    waiters = """
        SELECT count(*), pg_sleep(0.05) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
    with psycopg.connect(url, autocommit=True) as watcher:
        while watcher.execute(waiters).fetchall()[0][0] != count:
            pass


def test_a_migration_that_fails_leaves_those_before_it(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TABLE messages ()")
    with pytest.raises(CommandError, match='relation "messages" already exists'):
        upgrade(empty_database_url)
    with connected(empty_database_url) as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "001"
        assert not inspect(connection).has_table("conversations")


def test_every_migration_can_be_taken_back(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    config = Config(toml_file=ROOT / "pyproject.toml", attributes={"database_url": empty_database_url})
    command.downgrade(config, "base")
    with connected(empty_database_url) as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    assert len(upgrade(empty_database_url)) == len(sql_files())


@pytest.mark.parametrize("path", sorted((MIGRATIONS / "versions").glob("*.py")), ids=lambda path: path.stem)
def test_a_migration_waits_for_no_table_longer_than_five_seconds(path: Path) -> None:
    bodies = re.findall(r"^def (?:up|down)grade.*?\n    \"\"\".*?\n    (.*)$", path.read_text(), re.MULTILINE)
    assert bodies == ["op.execute(\"SET LOCAL lock_timeout = '5s'\")"] * 2
