"""How Alembic reaches the database: one transaction, behind a lock that only one run can hold.

The lock lives as long as the transaction, so it is safe behind a transaction-mode pooler, and a run that waited for it
finds what the other did. `scripts/init_db.py` asks for one migration at a time, which gives each its own transaction.
"""

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from lib.db.tables import metadata
from lib.db.url import psycopg_url
from lib.settings import SettingsInvalid, get_settings

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('parley.migrations'))")


def _database_url() -> str:
    given: str | None = context.config.attributes.get("database_url")
    if given is not None:
        return given
    configured = get_settings().database_url
    if configured is None:
        raise SettingsInvalid("DATABASE_URL is not set")
    return configured.get_secret_value()


def _engine() -> Engine:
    try:
        url = psycopg_url(_database_url())
    except (ArgumentError, ValueError):  # whose text may quote a part of the password
        raise SettingsInvalid("DATABASE_URL is not a URL of a Postgres database") from None
    return create_engine(url, poolclass=NullPool, connect_args={"prepare_threshold": None, "connect_timeout": 10})


def _migrate() -> None:
    try:
        with _engine().begin() as connection:
            connection.execute(_LOCK)
            context.configure(
                connection=connection,
                target_metadata=metadata,
                on_version_apply=context.config.attributes.get("on_version_apply"),
            )
            context.run_migrations()
    except DBAPIError as error:
        raise CommandError(f"the database of DATABASE_URL cannot be used: {_reason(error)}") from error


def _reason(error: DBAPIError) -> str:
    """Return the server's own words, or libpq's, without the address, which may hold a part of a mistyped password."""
    diagnosis = getattr(error.orig, "diag", None)
    words: str = getattr(diagnosis, "message_primary", None) or str(error.orig).splitlines()[0]
    return words.rpartition(": ")[2].strip()


def _write_sql() -> None:
    context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _write_sql()
else:
    _migrate()
