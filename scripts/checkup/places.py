"""Where what is checked is."""

from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def is_loopback(url: str) -> bool:
    """Say whether a URL leads to this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK
