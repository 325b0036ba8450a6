"""Where Postgres is, as operators' tools spell it."""

from typing import Final

from sqlalchemy import URL, make_url

_NEON_TLS: Final = {"sslmode": "require", "channel_binding": "require"}

_OTHERS: Final = {"pgbouncer", "connection_limit", "pool_timeout", "prepared_statement_cache_size"}


def psycopg_url(url: str) -> URL:
    """Return the URL for psycopg 3, whichever spelling the operator's tool uses.

    `postgres://`, `postgresql://`, `+asyncpg` and `+psycopg` are taken; asyncpg's `ssl` becomes libpq's `sslmode`, what
    asyncpg and Prisma alone understand is dropped, and Neon gets TLS and channel binding unless the URL says otherwise.
    """
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    query = {name: value for name, value in parsed.query.items() if name not in _OTHERS}
    if "ssl" in query:
        ssl = query.pop("ssl")
        query.setdefault("sslmode", {"true": "require", "false": "disable"}.get(str(ssl), ssl))
    if (parsed.host or "").endswith(".neon.tech"):
        query = _NEON_TLS | query
    return parsed.set(query=query)
