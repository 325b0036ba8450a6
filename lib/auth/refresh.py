"""Refresh tokens: each names its session and how often that was refreshed, and proves it.

`<session>.<generation>.<proof>`, the proof an HMAC-SHA256 of the two under a key of ours, in base64url. Nothing of a
token is stored, so a copy of the database opens no session, and a token that never was is refused without asking for
it. And the successor of a token is the same however often it is asked for: two tabs that refresh at once get one.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from lib.errors import RefreshInvalid

LONGEST: int = 200
"""Characters of anything that could be a token."""


@dataclass(frozen=True, slots=True)
class RefreshTokens:
    """Makes and reads refresh tokens. The first key makes, all read."""

    keys: Sequence[bytes]

    def make(self, session_id: UUID, generation: int) -> str:
        """Return the token of a session after so many refreshes."""
        claim = f"{_text(session_id.bytes)}.{generation}"
        return f"{claim}.{_text(_proof(self.keys[0], claim))}"

    def read(self, token: str) -> tuple[UUID, int]:
        """Return the session and the generation that a token names.

        Raises:
            RefreshInvalid: it is not ours.
        """
        claim, _, proof = token.rpartition(".")
        session, _, generation = claim.partition(".")
        try:
            given = _bytes(proof)
            if len(token) > LONGEST or not any(hmac.compare_digest(_proof(key, claim), given) for key in self.keys):
                raise RefreshInvalid
            return UUID(bytes=_bytes(session)), int(generation)
        except (binascii.Error, ValueError):
            raise RefreshInvalid from None


def _proof(key: bytes, claim: str) -> bytes:
    return hmac.digest(key, claim.encode(errors="replace"), hashlib.sha256)


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
