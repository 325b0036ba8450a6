"""The second factor: what a user has, besides the password that they know.

It is an app that makes one-time codes, and ten recovery codes for whoever has lost it. Begun, it counts for nothing;
the app's first code confirms it, and from then on a log-in takes a code, whatever becomes of the password.
"""

import asyncio
import time
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from lib.auth import recovery, totp
from lib.auth.passwords import verify_password
from lib.db.events import NO_CLIENT, Client, EventDetail, EventKind, SecurityEvent, new_event
from lib.db.tenant import Tenant
from lib.errors import InvalidCode, InvalidCredentials, SecondFactorEnabled, SecondFactorMissing
from lib.store import second_factors, security_events
from lib.store.second_factors import SecondFactor

if TYPE_CHECKING:
    from lib.auth.callers import Caller
    from lib.auth.seal import Seal
    from lib.db.session import Database


Used = Literal["second_factor", "recovery_code"]
"""What showed who somebody is: a code of the app, or a recovery code."""


@dataclass(frozen=True, slots=True)
class State:
    """Since when a second factor counts, None where there is none, and how many recovery codes are left."""

    enabled_at: datetime | None
    recovery_codes_left: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an app is to learn: the secret to type (base32), the same to scan (`otpauth://`), and that as a QR code."""

    secret: str
    otpauth_uri: str
    qr_svg: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows again that a signed-in user is who they are: the password, where there is one, and a code."""

    password: str | None
    code: str


@dataclass(frozen=True, slots=True)
class _Whose:
    """Whose second factor it is, which rows may be touched for it, and who sent the request."""

    user_id: UUID
    tenant: Tenant
    client: Client = NO_CLIENT

    @property
    def context(self) -> str:
        """What the secret is sealed for: it opens in no other user's row."""
        return f"totp:{self.user_id}"

    def event(self, kind: EventKind, detail: EventDetail | None = None) -> SecurityEvent:
        """Return what is written down of this user."""
        return new_event(kind, team_id=self.tenant.team_id, user_id=self.user_id, detail=detail, client=self.client)


async def state(database: "Database", caller: "Caller") -> State:
    """Return how the caller's second factor is.

    Raises:
        Unauthenticated: the caller's session is over.
        DatabaseUnavailable: nobody knows.
    """
    kept = await _find(database, _whose(caller))
    return State(kept.confirmed_at, kept.codes_left)


async def set_up(database: "Database", seal: "Seal", caller: "Caller") -> Enrolment:
    """Begin a second factor with a fresh secret, which is never shown again. One that was begun before is void.

    Raises:
        SecondFactorEnabled: there is one already.
        Unauthenticated: the caller's session is over.
        DatabaseUnavailable: nothing is kept.
    """
    who, secret = _whose(caller), totp.new_secret()
    sealed = seal.seal(secret, context=who.context)
    email = (await _find(database, who)).email
    async with database.one_statement(who.tenant) as connection:
        begun = await second_factors.begin(
            connection, user_id=who.user_id, team_id=who.tenant.team_id, sealed_secret=sealed
        )
    if not begun:
        raise SecondFactorEnabled
    uri = totp.otpauth_uri(secret, email)
    # Drawing takes some twenty milliseconds of Python, the first time forty: other requests go on meanwhile.
    return Enrolment(totp.spelled(secret), uri, await asyncio.to_thread(totp.qr_svg, uri))


async def verify(database: "Database", seal: "Seal", caller: "Caller", *, code: str, client: Client) -> tuple[str, ...]:
    """Have the second factor that was begun count from now on, and return its recovery codes, to be shown once.

    Raises:
        InvalidCode: the app's code is not of the secret that was begun last.
        SecondFactorEnabled: it counts already.
        SecondFactorMissing: none was begun.
        Unauthenticated: the caller's session is over.
        DatabaseUnavailable: nothing is changed.
    """
    who, fresh = _whose(caller, client), recovery.new_codes()
    kept = await _find(database, who)
    if kept.sealed_secret is None:
        raise SecondFactorMissing
    if kept.confirmed_at is not None:
        raise SecondFactorEnabled
    step = _fitting_step(seal, who, kept.sealed_secret, _plain(code))
    event = who.event("second_factor_enabled", {"count": len(fresh)})
    hashes = [recovery.hash_of(each) for each in fresh]
    async with database.one_statement(who.tenant) as connection:
        if not await second_factors.confirm(
            connection, event, sealed_secret=kept.sealed_secret, step=step, code_hashes=hashes
        ):
            raise InvalidCode
    return fresh


async def prove(database: "Database", seal: "Seal", *, user_id: UUID, team_id: UUID, code: str, client: Client) -> Used:
    """Take the code that the second step of a log-in is given, and return what it was. It works no second time.

    Attempts are for the caller to limit: a million codes are not many. One that is refused is noted.

    Raises:
        InvalidCode: it is none of the user's, is too old, or was used; or there is no second factor any more.
        Unsealable: the secret was sealed with a key that this deployment has no more.
        DatabaseUnavailable: nobody can tell.
    """
    who = _Whose(user_id, Tenant(team_id), client)
    try:
        return await _spend(database, seal, who, await _find(database, who), code)
    except InvalidCode:
        async with database.one_statement(who.tenant) as connection:
            await security_events.record(connection, who.event("login_refused", {"reason": "wrong_code"}))
        raise


async def disable(database: "Database", seal: "Seal", caller: "Caller", *, proof: Proof, client: Client) -> None:
    """Remove the caller's second factor and its recovery codes.

    Raises:
        InvalidCredentials: the password is wrong.
        InvalidCode: the code is; see `prove`.
        SecondFactorMissing: there is no second factor.
        Unauthenticated: the caller's session is over.
        Unsealable: see `prove`.
        DatabaseUnavailable: nothing is changed, though the code may be used.
    """
    who = _whose(caller, client)
    await _prove_again(database, seal, who, proof)
    event = who.event("second_factor_disabled")
    async with database.one_statement(who.tenant) as connection:
        if not await second_factors.remove(connection, event):
            raise SecondFactorMissing


async def renew_recovery_codes(
    database: "Database", seal: "Seal", caller: "Caller", *, proof: Proof, client: Client
) -> tuple[str, ...]:
    """Return fresh recovery codes, to be shown once; those from before work no more.

    Raises:
        As `disable`.
    """
    who, fresh = _whose(caller, client), recovery.new_codes()
    await _prove_again(database, seal, who, proof)
    event = who.event("recovery_codes_made", {"count": len(fresh)})
    hashes = [recovery.hash_of(each) for each in fresh]
    async with database.one_statement(who.tenant) as connection:
        if not await second_factors.replace_recovery_codes(connection, event, code_hashes=hashes):
            raise SecondFactorMissing
    return fresh


def _whose(caller: "Caller", client: Client = NO_CLIENT) -> _Whose:
    return _Whose(caller.user, caller.tenant(), client)


async def _find(database: "Database", who: _Whose) -> SecondFactor:
    async with database.one_statement(who.tenant) as connection:
        kept = await second_factors.find(connection, who.user_id)
    if kept is None:  # the account was deleted since the first step of the log-in
        raise InvalidCode
    return kept


async def _prove_again(database: "Database", seal: "Seal", who: _Whose, proof: Proof) -> None:
    """Ask for the password first: a wrong one uses up no code."""
    kept = await _find(database, who)
    if kept.confirmed_at is None:
        raise SecondFactorMissing
    if kept.password_hash is not None and not await verify_password(proof.password or "", kept.password_hash):
        raise InvalidCredentials("The password is wrong.")
    await _spend(database, seal, who, kept, proof.code)


async def _spend(database: "Database", seal: "Seal", who: _Whose, kept: SecondFactor, code: str) -> Used:
    """Use up a code of the app, which is six digits, or else a recovery code."""
    if kept.sealed_secret is None or kept.confirmed_at is None:
        raise InvalidCode
    plain = _plain(code)
    if len(plain) != totp.DIGITS or not plain.isdecimal():
        await _spend_recovery_code(database, who, plain)
        return "recovery_code"
    step = _fitting_step(seal, who, kept.sealed_secret, plain)
    async with database.one_statement(who.tenant) as connection:
        if not await second_factors.take_step(
            connection, user_id=who.user_id, sealed_secret=kept.sealed_secret, step=step
        ):
            raise InvalidCode
    return "second_factor"


async def _spend_recovery_code(database: "Database", who: _Whose, code: str) -> None:
    event = who.event("recovery_code_used")
    async with database.one_statement(who.tenant) as connection:
        if not await second_factors.use_recovery_code(connection, event, code_hash=recovery.hash_of(code)):
            raise InvalidCode


def _fitting_step(seal: "Seal", who: _Whose, sealed_secret: bytes, code: str) -> int:
    step = totp.fitting_step(seal.open(sealed_secret, context=who.context), code, time.time())
    if step is None:
        raise InvalidCode
    return step


def _plain(code: str) -> str:
    """Return the letters and digits of what somebody typed or pasted, in capitals, without what stands between."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", code).upper() if letter.isalnum())
