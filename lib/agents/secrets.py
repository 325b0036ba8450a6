"""An agent's secrets: sealed for one agent and one origin, so that no other server is ever shown them."""

import re
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

from lib.errors import Unsealable

if TYPE_CHECKING:
    from lib.auth.seal import Seal

SecretName = Literal["webhook_token", "api_key"]

HIDDEN: Final = "********"
SHORTEST_WITH_AN_END: Final = 16
"""Characters of a secret whose last four are shown: of a shorter one they would say too much."""

_MASK: Final = re.compile(re.escape(HIDDEN) + ".{0,4}", re.DOTALL)
_PORTS: Final = {"http": 80, "https": 443}


def origin_of(url: str) -> str:
    """Return the scheme, host and port of a URL: `https://n8n.example.com:443`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS.get(parts.scheme)}"


def seal_secret(seal: "Seal", secret: str, *, agent_id: UUID, name: SecretName, url: str) -> bytes:
    """Return a secret sealed for the server that `url` is on: for another it does not open."""
    return seal.seal(secret, context=_context(agent_id, name, url))


def open_secret(seal: "Seal", sealed: bytes, *, agent_id: UUID, name: SecretName, url: str) -> str:
    """Return the secret that was sealed for this agent and the server that `url` is on.

    Raises:
        Unsealable: it was sealed for another, or the key is gone.
    """
    return seal.open(sealed, context=_context(agent_id, name, url)).decode()


def mask(seal: "Seal", sealed: bytes, *, agent_id: UUID, name: SecretName, url: str) -> str:
    """Return how a secret is shown: its last four characters, where it is long enough and opens."""
    try:
        secret = open_secret(seal, sealed, agent_id=agent_id, name=name, url=url)
    except Unsealable:
        return HIDDEN
    return HIDDEN + secret[-4:] if len(secret) >= SHORTEST_WITH_AN_END else HIDDEN


def is_mask(value: str) -> bool:
    """Say whether a value is how some secret is shown, and so is none."""
    return _MASK.fullmatch(value) is not None


def _context(agent_id: UUID, name: SecretName, url: str) -> str:
    return f"agent:{agent_id}:{name}:{origin_of(url)}"
