"""What an operator sees of `scripts/init_db.py`."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import psycopg
import pytest

from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.ids import DEFAULT_TEAM_ID
from lib.settings import SettingsInvalid
from lib.store import teams
from scripts.init_db import ROOT, keep_default_team, upgrade


@pytest.fixture
async def database(empty_database_url: str) -> AsyncGenerator[Database]:
    upgrade(empty_database_url)
    database = Database(empty_database_url)
    yield database
    await database.close()


def init_db(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "init_db.py", *arguments],
        cwd=folder,
        env=os.environ | {"NEON_DATABASE_URL": url, "DATABASE_URL": "", "DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_works_from_any_folder_and_says_what_it_did(empty_database_url: str, tmp_path: Path) -> None:
    done = init_db(tmp_path, empty_database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "001: Create the tables of teams and users, and the default team.",
        "002: Create the tables of conversations and their messages.",
        "003: Create the table of interaction logs.",
        "004: Create the tables of workspaces and their members, and an index of the messages that are being written.",
        "005: Create the tables of identity, and the wall between tenants.",
        (
            "006: Create the tables of agents, of streams under way and of retries; let conversations be put away and"
            " branch."
        ),
        (
            "007: Say of each message which one it follows: those written before conversations could branch follow the"
            " one before."
        ),
        "008: Let the walls around conversations and messages lead to no index, and count for half of what is there.",
        "The default team is 'default'.",
    ]


@pytest.mark.skipif((ROOT / ".env").exists(), reason="your .env may name a database")
def test_without_a_database_url_it_says_so(tmp_path: Path) -> None:
    done = init_db(tmp_path, "")
    assert done.returncode == 1
    assert done.stderr == "init_db: DATABASE_URL is not set: give it in the environment or in .env\n"


def test_a_database_that_is_away_is_one_sentence_without_the_password(tmp_path: Path) -> None:
    done = init_db(tmp_path, "postgres://ada:correct-horse@127.0.0.1:1/parley")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "init_db: the database of DATABASE_URL cannot be used: Connection refused\n"


@pytest.mark.parametrize("url", ["not a url", "postgres://ada:correct-horse@127.0.0.1:port/parley"])
def test_a_url_that_is_none_is_told_without_the_password(url: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"^DATABASE_URL is not a URL of a Postgres database$"):
        upgrade(url)


async def test_the_default_team_takes_its_configured_slug(database: Database) -> None:
    for slug in ("acme", "acme", "initech"):
        await keep_default_team(database, slug)
        async with database.one_statement(EVERY_TEAM) as connection:
            assert await teams.find_id(connection, slug) == DEFAULT_TEAM_ID


async def test_a_default_team_that_is_gone_is_made_again(database: Database, empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as operator:
        operator.execute("DELETE FROM teams")
    await keep_default_team(database, "default")
    async with database.one_statement(EVERY_TEAM) as connection:
        assert await teams.find_id(connection, "default") == DEFAULT_TEAM_ID


async def test_the_slug_of_another_team_is_refused(database: Database, empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as operator:
        operator.execute("INSERT INTO teams (name, slug) VALUES ('Acme', 'acme')")
    with pytest.raises(SettingsInvalid, match="'acme', which is the slug of another team"):
        await keep_default_team(database, "acme")
