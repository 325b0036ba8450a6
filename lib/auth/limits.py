"""Limits: how often a minute somebody may try something, over every instance."""

import hashlib
import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from uuid import UUID

from lib.db.limits import Allowance, Hit, judge
from lib.db.tenant import EVERY_TEAM
from lib.store.rate_limits import take

if TYPE_CHECKING:
    from lib.db.session import Database
    from lib.settings import Limited

UNKNOWN: Final = "unknown"
"""The address of whoever has none that can be read; they share their attempts."""


async def admit(
    database: "Database",
    limits: "Mapping[Limited, int]",
    name: "Limited",
    *,
    address: str | None = None,
    account: str | UUID | None = None,
) -> Allowance | None:
    """Count an attempt, in one statement, and let it through; return what is left, or None where there is no limit.

    Args:
        database: where attempts are counted.
        limits: attempts a minute by what is attempted (`Settings.rate_limits`).
        name: what is attempted.
        address: the client's.
        account: the address of an account, normalised, whether or not there is one; or the id of a user who is known.

    Raises:
        RateLimited: the client's address or the account has tried too often.
        DatabaseUnavailable: nobody can count, so nobody is let through.
    """
    limit = limits[name]
    if limit == 0:
        return None
    hits = [
        *([] if address is None else [Hit(name, "address", network_of(address), limit)]),
        *([] if account is None else [_of_account(name, account, limit)]),
    ]
    async with database.one_statement(EVERY_TEAM) as connection:
        return judge(await take(connection, hits))


def of_turn(limits: "Mapping[Limited, int]", *, address: str, user_id: UUID | None) -> Hit | None:
    """Return the attempt that a turn is, for its own statement to count: the user's, or of a guest the address's.

    None where there is no limit.
    """
    limit = limits["chat"]
    if limit == 0:
        return None
    if user_id is None:
        return Hit("chat", "address", network_of(address), limit)
    return Hit("chat", "user", str(user_id), limit)


def network_of(address: str) -> str:
    """Return for whom an address counts: itself, or of IPv6 the /64 that it is in, since one client has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return UNKNOWN
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def _of_account(name: str, account: str | UUID, limit: int) -> Hit:
    """Return the hit of an account. The table says of an address no more than its hash."""
    if isinstance(account, UUID):
        return Hit(name, "user", str(account), limit)
    return Hit(name, "account", hashlib.sha256(account.encode()).hexdigest(), limit)
