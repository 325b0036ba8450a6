"""How often a client may try: the attempts that a route counts, and what every answer says of them."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import Depends, Request

from lib.errors import RateLimited
from lib.web.address import client_address

if TYPE_CHECKING:
    from lib.db.limits import Allowance
    from lib.settings import Limited
    from lib.web.instance import Instance


class Gate:
    """Counts attempts of the client of one request, and has its answer say what is left, whatever the answer is."""

    def __init__(self, request: Request) -> None:
        """Stand at the gate of `request`."""
        self._request = request

    async def admit(self, name: "Limited", *, account: str | UUID | None = None) -> None:
        """Count an attempt for the client's address and, where it names one, an account: one round trip for both.

        Args:
            name: what is attempted.
            account: an address, normalised, whether or not it has an account; or the id of a user who is known.

        Raises:
            RateLimited: there were too many.
            DatabaseUnavailable: nobody can count them.
        """
        from lib.auth.limits import admit

        instance: Instance = self._request.app.state.instance
        allowance = await admit(
            instance.database,
            instance.settings.rate_limits,
            name,
            address=client_address(self._request.scope),
            account=account,
        )
        if allowance is not None:
            tell(self._request, allowance)


async def _gate(request: Request) -> Gate:
    return Gate(request)


ThisGate = Annotated[Gate, Depends(_gate)]
"""For a handler that counts attempts for an account that the body names."""


def limited(name: "Limited") -> Any:
    """Return the dependency of a route whose attempts are counted for the client's address alone."""

    async def count(gate: ThisGate) -> None:
        await gate.admit(name)

    return Depends(count)


def tell(request: Request, left: "Allowance") -> None:
    """Have the answer to a request say what is left of a limit."""
    request.state.headers = headers_of(left)


def headers_of(left: "Allowance | RateLimited") -> dict[str, str]:
    """Return the headers that say what is left of a limit."""
    remaining, seconds = (0, left.retry_after) if isinstance(left, RateLimited) else (left.remaining, left.seconds)
    return {
        "RateLimit-Limit": str(left.limit),
        "RateLimit-Remaining": str(remaining),
        "RateLimit-Reset": str(seconds),
    }
