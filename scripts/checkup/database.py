"""Postgres: reached, encrypted, pooled, at the newest migration, with the default team, and in time."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.script import ScriptDirectory

from lib.db.session import Connection, Database
from lib.db.tables import HEAD
from lib.db.tenant import EVERY_TEAM
from lib.db.url import psycopg_url
from lib.errors import DatabaseUnavailable
from lib.health.probe import Unwell
from lib.ids import DEFAULT_TEAM_ID
from lib.settings import Settings
from lib.store import schema, server, teams
from scripts.checkup.finding import Finding
from scripts.checkup.places import LOOPBACK

ROOT: Final = Path(__file__).resolve().parents[2]
ASKED: Final = 5
"""How often the way there and back is timed."""
FAR_MS: Final = 30.0
"""Milliseconds there and back from which on it is felt: a turn waits for two of them."""
SKEW: Final = 5.0
"""Seconds that two clocks may differ before tokens that hold for minutes are misjudged."""

REASONS: Final = {
    "password authentication failed": "Postgres refuses the user or the password: correct DATABASE_URL.",
    "no pg_hba.conf entry": "Postgres lets nobody in this way: add sslmode=require to DATABASE_URL, or allow the host.",
    "does not support SSL": "Postgres does not speak TLS: switch it on there, or see the host in DATABASE_URL.",
    "certificate": "The certificate of Postgres is not valid: see sslmode and sslrootcert in DATABASE_URL.",
    "permission denied": "The role in DATABASE_URL has no rights on the tables: grant them (docs/operations.md).",
    "does not exist": "Postgres has no such database or user: correct DATABASE_URL, or create it.",
    "Connection refused": "Nothing listens at the host and port of DATABASE_URL: correct it, or start Postgres.",
    "resolve host": "The host in DATABASE_URL is not known: correct it.",
    "translate host name": "The host in DATABASE_URL is not known: correct it.",
    "timeout": "Postgres does not answer in time: see the host in DATABASE_URL, and any firewall.",
}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one visit to the database showed."""

    server: server.Server
    schema: schema.State
    team: bool | None
    round_trip_ms: float
    skew: float


async def check_database(settings: Settings) -> list[Finding]:
    """Return what there is to say of the database."""
    if settings.database_url is None:
        return [Finding("database", "failed", "DATABASE_URL is not set, so nothing is saved: set it.")]
    url = settings.database_url.get_secret_value()
    try:
        host = _host(url)
        database = Database(url)
    except Exception:  # SQLAlchemy's words quote the URL
        raise Unwell("DATABASE_URL cannot be read as a URL: see how its password is escaped.") from None
    try:
        seen = await _visit(database, settings.default_team)
    except DatabaseUnavailable as error:
        raise Unwell(_reason(error)) from None
    finally:
        await database.close()
    return [*_connection(seen), *_tls(seen, host), *_pooler(host), *_tables(seen, settings), clock(seen.skew)]


def _host(url: str) -> str:
    parsed = psycopg_url(url)
    return parsed.host or str(parsed.query.get("host", ""))


async def _visit(database: Database, team: str) -> _Seen:
    async with database.one_statement(EVERY_TEAM) as connection:
        timed = [await _timed(connection) for _ in range(ASKED)]
        state = await schema.state(connection)
        found = await teams.find_id(connection, team) == DEFAULT_TEAM_ID if state.version else None
    described, _, skew = timed[-1]
    return _Seen(described, state, found, statistics.median(took for _, took, _ in timed) * 1000, skew)


async def _timed(connection: Connection) -> tuple[server.Server, float, float]:
    """Return what the server is, the seconds there and back, and those its clock is ahead of ours."""
    began, here = time.perf_counter(), datetime.now(UTC)
    described = await server.describe(connection)
    took = time.perf_counter() - began
    return described, took, (described.now - here).total_seconds() - took / 2


def _reason(error: DatabaseUnavailable) -> str:
    """Say why, from the words of the driver, which are not repeated."""
    words = str(getattr(error.__cause__, "orig", error.__cause__))
    found = (sentence for sign, sentence in REASONS.items() if sign in words)
    return next(found, "Postgres cannot be reached: see DATABASE_URL, and whether the database runs.")


def _connection(seen: _Seen) -> Iterator[Finding]:
    said = f"Postgres {seen.server.version}, {seen.round_trip_ms:.1f} ms there and back"
    if seen.round_trip_ms > FAR_MS:
        yield Finding("database", "warning", f"{said}: run the functions in the database's region.")
    elif seen.schema.read_only:
        yield Finding("database", "failed", f"{said}, and it takes no writes: name the primary in DATABASE_URL.")
    elif seen.schema.walled_out and seen.schema.version == HEAD:
        yield Finding("database", "failed", f"{said}, and its role lacks a grant or a policy: see docs/operations.md.")
    else:
        yield Finding("database", "ok", said)


def _tls(seen: _Seen, host: str) -> Iterator[Finding]:
    if seen.server.encrypted:
        yield Finding("database: TLS", "ok", "in use")
    elif host.startswith("/") or host in {"", *LOOPBACK}:
        yield Finding("database: TLS", "ok", "not needed, it is on this machine")
    else:
        yield Finding("database: TLS", "failed", "Not in use: add sslmode=require to DATABASE_URL.")


def _pooler(host: str) -> Iterator[Finding]:
    if not host.endswith(".neon.tech"):
        return
    if "-pooler" in host.partition(".")[0]:
        yield Finding("database: pooler", "ok", "Neon's; statements are not prepared, as it needs")
    else:
        yield Finding(
            "database: pooler",
            "warning",
            "Not Neon's pooled host: many instances would use up its connections. Add -pooler to the first part of the"
            " host in DATABASE_URL.",
        )


def _tables(seen: _Seen, settings: Settings) -> Iterator[Finding]:
    head = ScriptDirectory.from_config(Config(toml_file=ROOT / "pyproject.toml")).get_current_head()
    at = seen.schema.version
    if at == head:
        yield Finding("database: tables", "ok", f"at migration {at}, the newest")
    elif at is None:
        yield Finding("database: tables", "failed", "There are none: run `python scripts/init_db.py`.")
    elif at < (head or ""):
        said = f"They are at migration {at} and should be at {head}"
        yield Finding("database: tables", "failed", f"{said}: run `python scripts/init_db.py`.")
    else:
        said = f"They are at migration {at}, which this version does not know"
        yield Finding("database: tables", "warning", f"{said}: deploy the version that made them.")
    if seen.team:
        yield Finding("database: team", "ok", f"the default team is {settings.default_team!r}")
    elif seen.team is False:
        said = f"No default team has the slug {settings.default_team!r}"
        yield Finding("database: team", "failed", f"{said}: run `python scripts/init_db.py`, or see DEFAULT_TEAM.")


def clock(skew: float) -> Finding:
    """Say whether this machine's clock is `skew` seconds from the database's, or right."""
    if abs(skew) <= SKEW:
        return Finding("clock", "ok", f"{abs(skew):.1f} s from the database's")
    return Finding("clock", "failed", f"It is {abs(skew):.0f} s from the database's: set this machine's clock.")
