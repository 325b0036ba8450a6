"""Conversations, under each of the prefixes that clients know."""

from typing import Final

PREFIXES: Final = ("/api/v1/conversations", "/api/chats", "/conversations")
