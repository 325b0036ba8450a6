"""Conversations, under each of the prefixes that clients know.

Each function names the routers that it answers with: importing a router prepares its routes, which is start time.
"""

from typing import Final

from fastapi import APIRouter

from lib.web.below import Below

PREFIXES: Final = ("/api/v1/conversations", "/api/chats", "/conversations")


def under_each(*routers: APIRouter) -> tuple[Below, ...]:
    """Return the routers once for each prefix; of two routes that fit a path the first one has it."""
    return tuple(Below(prefix, *routers) for prefix in PREFIXES)
