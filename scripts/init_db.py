"""Bring a database up to date: the tables, the default team and, if asked, an administrator.

    python scripts/init_db.py [--admin EMAIL]

It may be run again at any time, and by several machines at once.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.errors import ParleyError
from lib.ids import DEFAULT_TEAM_ID
from lib.settings import SettingsInvalid, get_settings
from lib.store import teams
from scripts.admin import choose_password, make_admin

ROOT: Final = Path(__file__).resolve().parent.parent


def upgrade(url: str) -> list[str]:
    """Bring the schema at `url` to the newest version, and return what was done, one sentence a migration.

    Raises:
        CommandError: the database cannot be reached, or refuses. The message holds no secret.
        SettingsInvalid: `url` is no URL of a Postgres database.
    """
    done: list[str] = []

    def note(*, step: Any, **_: object) -> None:
        done.append(f"{step.up_revision_id}: {step.up_revision.doc}")

    config = Config(toml_file=ROOT / "pyproject.toml")
    config.attributes.update(database_url=url, on_version_apply=note)
    for migration in reversed([*ScriptDirectory.from_config(config).walk_revisions()]):
        command.upgrade(config, migration.revision)
    return done


async def keep_default_team(database: Database, slug: str) -> None:
    """Make the default team, or give it this slug.

    Raises:
        SettingsInvalid: another team has the slug.
        DatabaseUnavailable: it cannot be reached.
    """
    async with database.one_statement(EVERY_TEAM) as connection:
        if await teams.find_id(connection, slug) not in {None, DEFAULT_TEAM_ID}:
            raise SettingsInvalid(f"DEFAULT_TEAM is {slug!r}, which is the slug of another team")
        await teams.keep_default(connection, slug)


async def _run(admin: str | None) -> None:
    settings = get_settings()
    if settings.database_url is None:
        raise SettingsInvalid("DATABASE_URL is not set: give it in the environment or in .env")
    url = settings.database_url.get_secret_value()
    for migration in upgrade(url) or ["The tables are up to date."]:
        print(migration)
    database = Database(url)
    try:
        await keep_default_team(database, settings.default_team)
        print(f"The default team is {settings.default_team!r}.")
        if admin is not None:
            print(await make_admin(database, admin, choose_password))
    finally:
        await database.close()


def main() -> int:
    """Read the command line and do it. Return the exit status."""
    parser = argparse.ArgumentParser(description="Bring the database of DATABASE_URL up to date.")
    parser.add_argument(
        "--admin",
        metavar="EMAIL",
        help="who becomes an administrator of the default team; an address that nobody has gets an account",
    )
    arguments = parser.parse_args()
    os.chdir(ROOT)  # where .env lies
    try:
        asyncio.run(_run(arguments.admin))
    except (CommandError, ParleyError, SettingsInvalid) as error:
        print(f"init_db: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
