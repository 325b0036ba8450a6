"""Second factors and their recovery codes. Each step is one statement, so that of two at once one comes first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Executable, text

from lib.db.events import SecurityEvent, event_insert
from lib.db.session import Connection


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """An account, as far as proving who it is goes.

    Attributes:
        email: its address.
        password_hash: None for an account that has no password.
        sealed_secret: what codes are made from, sealed; None where no second factor was ever begun.
        confirmed_at: since when it counts; None while no code has shown that the user's app has the secret.
        codes_left: recovery codes that nobody has used.
    """

    email: str
    password_hash: str | None
    sealed_secret: bytes | None
    confirmed_at: datetime | None
    codes_left: int


async def find(connection: Connection, user_id: UUID) -> SecondFactor | None:
    """Return what there is of an account; None where there is no such account."""
    row = (await connection.execute(_FIND, {"user_id": user_id})).mappings().one_or_none()
    return SecondFactor(**row) if row else None


async def begin(connection: Connection, *, user_id: UUID, team_id: UUID, sealed_secret: bytes) -> bool:
    """Keep a secret that is to be confirmed, in place of one that never was; return False where one was."""
    parameters = {"user_id": user_id, "team_id": team_id, "sealed_secret": sealed_secret}
    return (await connection.execute(_BEGIN, parameters)).rowcount == 1


async def confirm(
    connection: Connection, event: SecurityEvent, *, sealed_secret: bytes, step: int, code_hashes: Sequence[bytes]
) -> bool:
    """Have the event's user's second factor count from now on, and keep the hashes of its recovery codes.

    Args:
        connection: of the user's tenant.
        event: what is written down when it is done.
        sealed_secret: the secret that the code was of; the step returns False if another has come in its place.
        step: the time step of the code, which works no second time.
        code_hashes: of fresh recovery codes.
    """
    parameters = {"sealed_secret": sealed_secret, "step": step, "code_hashes": list(code_hashes)}
    return await _done(connection, _CONFIRM, event, parameters)


async def take_step(connection: Connection, *, user_id: UUID, sealed_secret: bytes, step: int) -> bool:
    """Take the time step of a code, or return False: it, or a later one, was taken before."""
    parameters = {"user_id": user_id, "sealed_secret": sealed_secret, "step": step}
    return (await connection.execute(_TAKE_STEP, parameters)).rowcount == 1


async def use_recovery_code(connection: Connection, event: SecurityEvent, *, code_hash: bytes) -> bool:
    """Use up a recovery code of the event's user, or return False: there is none like it that nobody has used."""
    return await _done(connection, _USE, event, {"code_hash": code_hash})


async def replace_recovery_codes(connection: Connection, event: SecurityEvent, *, code_hashes: Sequence[bytes]) -> bool:
    """Give the event's user fresh recovery codes in place of all others; False where there is no second factor."""
    return await _done(connection, _REPLACE, event, {"code_hashes": list(code_hashes)})


async def remove(connection: Connection, event: SecurityEvent) -> bool:
    """Remove the event's user's second factor with its recovery codes; False where there was none that counts."""
    return await _done(connection, _REMOVE, event, {})


async def _done(
    connection: Connection, statement: Executable, event: SecurityEvent, more: Mapping[str, object]
) -> bool:
    """Run a statement that writes its event where it changes something, and return whether it did."""
    parameters = {**event.parameters, "user_id": event.user_id, **more}
    return (await connection.execute(statement, parameters)).scalar_one() == 1


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_UNUSED: Final = """
    recovery_codes.user_id = :user_id AND recovery_codes.used_at IS NULL
    AND recovery_codes.created_at = (SELECT max(created_at) FROM recovery_codes WHERE user_id = :user_id)
"""
"""Codes that work: unused ones of the newest ten. Fresh ones replace the others, but a statement does not see what
another has only just added; so it is the date that says which codes count."""

_ACCOUNT: Final = """
    account AS MATERIALIZED (SELECT id FROM users WHERE id = :user_id FOR KEY SHARE)
"""
"""The account, held before anything of it, as whoever deletes it holds it: so nobody waits in a circle."""

_ADD: Final = """
    dated AS MATERIALIZED (SELECT user_id, team_id, clock_timestamp() AS moment FROM factor), added AS (
        INSERT INTO recovery_codes (user_id, code_hash, team_id, created_at)
        SELECT dated.user_id, fresh.code_hash, dated.team_id, dated.moment
        FROM dated CROSS JOIN unnest(CAST(:code_hashes AS bytea[])) AS fresh (code_hash)
    )
"""
"""Adds codes for `factor`, dated after its row was locked: of two sets added at once, the last one counts."""

_FIND = text(f"""
    SELECT users.email, users.password_hash, second_factors.sealed_secret, second_factors.confirmed_at,
        (SELECT count(*) FROM recovery_codes WHERE {_UNUSED}) AS codes_left
    FROM users LEFT JOIN second_factors ON second_factors.user_id = users.id
    WHERE users.id = :user_id
""")  # noqa: S608

_BEGIN = text(f"""
    WITH {_ACCOUNT}
    INSERT INTO second_factors AS kept (user_id, team_id, sealed_secret)
    SELECT account.id, :team_id, :sealed_secret FROM account
    ON CONFLICT (user_id) DO UPDATE SET sealed_secret = excluded.sealed_secret, created_at = now()
    WHERE kept.confirmed_at IS NULL
""")  # noqa: S608

_CONFIRM = text(f"""
    WITH {_ACCOUNT}, factor AS (
        UPDATE second_factors SET confirmed_at = now(), last_step = :step FROM account
        WHERE user_id = account.id AND confirmed_at IS NULL AND sealed_secret = :sealed_secret
        RETURNING user_id, team_id
    ), {_ADD}, event AS ({event_insert("factor")})
    SELECT count(*) FROM factor
""")  # noqa: S608

_TAKE_STEP = text("""
    UPDATE second_factors SET last_step = :step
    WHERE user_id = :user_id AND confirmed_at IS NOT NULL AND sealed_secret = :sealed_secret AND last_step < :step
""")

_USE = text(f"""
    WITH used AS (
        UPDATE recovery_codes SET used_at = now()
        WHERE code_hash = :code_hash AND {_UNUSED}
            AND EXISTS (SELECT FROM second_factors WHERE user_id = :user_id AND confirmed_at IS NOT NULL)
        RETURNING (SELECT count(*) - 1 FROM recovery_codes WHERE {_UNUSED}) AS codes_left
    ), event AS ({event_insert("used", detail="jsonb_build_object('left', source.codes_left)")})
    SELECT count(*) FROM used
""")  # noqa: S608

_REPLACE = text(f"""
    WITH {_ACCOUNT}, factor AS (
        SELECT user_id, team_id FROM second_factors JOIN account ON account.id = user_id
        WHERE confirmed_at IS NOT NULL FOR UPDATE OF second_factors
    ), dropped AS (
        DELETE FROM recovery_codes USING factor WHERE recovery_codes.user_id = factor.user_id
    ), {_ADD}, event AS ({event_insert("factor")})
    SELECT count(*) FROM factor
""")  # noqa: S608

_REMOVE = text(f"""
    WITH {_ACCOUNT}, factor AS (
        DELETE FROM second_factors USING account WHERE user_id = account.id AND confirmed_at IS NOT NULL
        RETURNING user_id
    ), dropped AS (
        DELETE FROM recovery_codes USING factor WHERE recovery_codes.user_id = factor.user_id
    ), event AS ({event_insert("factor")})
    SELECT count(*) FROM factor
""")  # noqa: S608
