"""Everything about who is asking, under each of the prefixes that clients know."""

from typing import Final

from fastapi import APIRouter

from lib.web.routes import accounts, api_keys, auth, events, passwords, profile, second_factor, sessions

PREFIXES: Final = ("/api/v1/auth", "/api/auth", "/auth")

router = APIRouter()
for prefix in PREFIXES:
    for part in (accounts, auth, sessions, passwords, second_factor, profile, api_keys, events):
        router.include_router(part.router, prefix=prefix)
