"""The second factor of whoever is signed in: set it up, confirm it, look at it, disable it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from lib.auth import second_factor
from lib.auth.second_factor import Proof
from lib.web.deps import SignedIn, StillSignedIn, ThisClient, ThisInstance
from lib.web.fields import TypedPassword
from lib.web.limits import ThisGate

router = APIRouter(prefix="/2fa", tags=["auth"])

Code = Annotated[str, Field(max_length=64)]
"""A code of the app or a recovery code, as somebody typed it."""


class SetUp(BaseModel):
    """What an authenticator app is to learn, shown this once: to type, to open on the same device, to scan."""

    secret: str
    otpauth_uri: str
    qr_svg: str


class Confirmation(BaseModel):
    """The first code of the app."""

    model_config = ConfigDict(extra="forbid")

    code: Code


class Reauthentication(BaseModel):
    """The password, where the account has one, and a code of the app or a recovery code."""

    model_config = ConfigDict(extra="forbid")

    password: TypedPassword | None = None
    code: Code

    def proof(self) -> Proof:
        """Return what was shown."""
        return Proof(self.password, self.code)


class RecoveryCodes(BaseModel):
    """Recovery codes, shown this once. Each works once."""

    recovery_codes: tuple[str, ...]


class Enabled(RecoveryCodes):
    """The second factor counts from now on."""

    enabled: bool = True


class State(BaseModel):
    """Whether there is a second factor, since when, and how many recovery codes are left."""

    enabled: bool
    enabled_at: datetime | None
    recovery_codes_left: int


@router.get("")
async def state(caller: SignedIn, instance: ThisInstance) -> State:
    """Tell how the second factor is."""
    found = await second_factor.state(instance.database, caller)
    return State(
        enabled=found.enabled_at is not None,
        enabled_at=found.enabled_at,
        recovery_codes_left=found.recovery_codes_left,
    )


@router.post("/setup")
async def set_up(caller: SignedIn, instance: ThisInstance) -> SetUp:
    """Begin: an app is given a secret. Nothing is asked for at a log-in until a code of it confirms that."""
    begun = await second_factor.set_up(instance.database, instance.seal, caller)
    return SetUp(secret=begun.secret, otpauth_uri=begun.otpauth_uri, qr_svg=begun.qr_svg)


@router.post("/verify")
async def verify(
    body: Confirmation, caller: StillSignedIn, gate: ThisGate, instance: ThisInstance, client: ThisClient
) -> Enabled:
    """Confirm that the app has the secret. Every log-in takes a code from now on."""
    await gate.admit("second_factor", account=caller.user)
    codes = await second_factor.verify(instance.database, instance.seal, caller, code=body.code, client=client)
    return Enabled(recovery_codes=codes)


@router.post("/disable")
async def disable(
    body: Reauthentication, caller: StillSignedIn, gate: ThisGate, instance: ThisInstance, client: ThisClient
) -> State:
    """Remove the second factor and its recovery codes."""
    await gate.admit("second_factor", account=caller.user)
    await second_factor.disable(instance.database, instance.seal, caller, proof=body.proof(), client=client)
    return State(enabled=False, enabled_at=None, recovery_codes_left=0)


@router.post("/recovery-codes")
async def renew_recovery_codes(
    body: Reauthentication, caller: StillSignedIn, gate: ThisGate, instance: ThisInstance, client: ThisClient
) -> RecoveryCodes:
    """Make fresh recovery codes; those from before work no more."""
    await gate.admit("second_factor", account=caller.user)
    codes = await second_factor.renew_recovery_codes(
        instance.database, instance.seal, caller, proof=body.proof(), client=client
    )
    return RecoveryCodes(recovery_codes=codes)
