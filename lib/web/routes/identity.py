"""Everything about who is asking, under each of the prefixes that clients know."""

from typing import Final

from lib.web.below import Below
from lib.web.routes import accounts, api_keys, auth, events, passwords, profile, second_factor, sessions

PREFIXES: Final = ("/api/v1/auth", "/api/auth", "/auth")

PARTS: Final = tuple(
    part.router for part in (accounts, auth, sessions, passwords, second_factor, profile, api_keys, events)
)

routers: Final = tuple(Below(prefix, *PARTS) for prefix in PREFIXES)
