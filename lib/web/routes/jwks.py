"""The public keys that access tokens are signed with, for whoever verifies them without asking us."""

from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel

from lib.web.deps import ThisInstance

router = APIRouter(tags=["auth"])

MAX_AGE: Final = 300
"""Seconds for which whoever verifies may keep the keys: as long, at least, a new key is published before it signs."""


class KeySet(BaseModel):
    """A JWK set (RFC 7517). With HS256 it is empty: there is nothing that could be told."""

    keys: list[dict[str, Any]]


@router.get("/.well-known/jwks.json")
async def jwks(instance: ThisInstance, response: Response) -> KeySet:
    """Show the public keys."""
    response.headers["Cache-Control"] = f"public, max-age={MAX_AGE}"
    return KeySet(keys=[*instance.signer.ring.jwks["keys"]])
