"""An agent's secrets: sealed for one agent and one origin, so that no other server is ever shown them."""

from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

if TYPE_CHECKING:
    from lib.auth.seal import Seal

SecretName = Literal["webhook_token", "api_key"]

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


def _context(agent_id: UUID, name: SecretName, url: str) -> str:
    return f"agent:{agent_id}:{name}:{origin_of(url)}"
