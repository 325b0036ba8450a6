"""One-time codes by time (RFC 6238), as every authenticator app makes them, and how an app learns the secret."""

import hmac
import secrets
from base64 import b32encode
from io import BytesIO
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512

PERIOD: Final = 30
"""Seconds that a code is shown for: one time step."""
DIGITS: Final = 6
WINDOW: Final = 1
"""Steps either side of ours that a code may be of: clocks differ, and people type slowly."""
ISSUER: Final = "Parley"
"""What an app shows above the account."""

_SECRET: Final = 20  # bytes: as many as SHA-1 gives, which RFC 4226 recommends (section 4, R6)


def new_secret() -> bytes:
    """Return a secret for one user's app."""
    return secrets.token_bytes(_SECRET)


def step_at(moment: float) -> int:
    """Return the time step of a moment, given in seconds since 1970."""
    return int(moment // PERIOD)


def code_of(
    secret: bytes, step: int, *, digits: int = DIGITS, algorithm: "SHA1 | SHA256 | SHA512 | None" = None
) -> str:
    """Return the code of a time step; SHA-1, which apps use, unless `algorithm` says otherwise."""
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.twofactor.hotp import HOTP

    # SHA-1's collisions do not weaken an HMAC (RFC 6194, section 3.3), and many apps know nothing else.
    return HOTP(secret, digits, algorithm or SHA1()).generate(step).decode("ascii")  # noqa: S303


def fitting_step(secret: bytes, code: str, moment: float) -> int | None:
    """Return the time step that a code is of, or None when it is of none within `WINDOW` of `moment`.

    The step has to be kept: the code works once, and none of an earlier step works after it. Of two steps that have
    one code by chance it is the later.

    Args:
        secret: the user's.
        code: digits alone.
        moment: now, in seconds since 1970.
    """
    now = step_at(moment)
    fitting = [
        step
        for step in range(now - WINDOW, now + WINDOW + 1)
        if hmac.compare_digest(code_of(secret, step).encode(), code.encode())
    ]
    return max(fitting, default=None)


def spelled(secret: bytes) -> str:
    """Return the secret as people type it into an app: 32 letters and digits of base32."""
    return b32encode(secret).decode("ascii")


def otpauth_uri(secret: bytes, account: str) -> str:
    """Return what an app reads from a QR code (github.com/google/google-authenticator/wiki/Key-Uri-Format).

    Args:
        secret: the user's.
        account: the account's email.
    """
    label = f"{quote(ISSUER, safe='')}:{quote(account, safe='')}"
    facts = {
        "secret": spelled(secret),
        "issuer": ISSUER,
        "algorithm": "SHA1",
        "digits": DIGITS,
        "period": PERIOD,
    }
    return f"otpauth://totp/{label}?{urlencode(facts, quote_via=quote)}"


def qr_svg(text: str) -> str:
    """Return a QR code of a text as an SVG image, black on white, that takes the size of its place in a page."""
    import segno

    image = BytesIO()
    segno.make_qr(text, error="m").save(
        image, kind="svg", xmldecl=False, omitsize=True, light="white", svgclass=None, lineclass=None, nl=False
    )
    return image.getvalue().decode()
