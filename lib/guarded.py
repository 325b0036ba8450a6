"""The one transport to addresses that a team names: webhooks, and model endpoints of its own.

A name is checked where it is written, and the address behind it where it is connected to, on the socket itself. So no
spelling of an address gets around it, and no DNS server that gives one answer to a check and another to the connection
(`docs/decisions/guarded-transport.md`).
"""

import errno
from dataclasses import dataclass
from socket import socket
from typing import TYPE_CHECKING, Final, Unpack

from yarl import URL

from lib.addresses import is_public
from lib.errors import AddressRefused

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver

    from lib.http import AddressInfo, Request

URL_LIMIT: Final = 2048


@dataclass(frozen=True, slots=True)
class Guard:
    """What an address may be, and the way to it.

    Attributes:
        allowed_hosts: hosts, each perhaps with a `:port`, that may be private and may be spoken to over http.
        https_only: whether every other address needs https.
        resolver: finds the addresses of hosts that are not allowed by name; None for the system's.
    """

    allowed_hosts: frozenset[str]
    https_only: bool
    resolver: "AbstractResolver | None" = None

    def check(self, url: str) -> None:
        """Check an address as far as its spelling tells, as when an agent is saved. Nothing is looked up.

        Raises:
            AddressRefused: it is no address that may be called, and why. The address is not repeated.
        """
        parsed = _parsed(url)
        if parsed.user is not None or parsed.password is not None:
            raise AddressRefused("An address holds no user name and no password. A token has a field of its own.")
        if self._is_allowed(parsed):
            return
        if self.https_only and parsed.scheme != "https":
            raise AddressRefused("This address needs https.")
        if _is_literal(parsed) and not is_public(parsed.host or ""):
            raise AddressRefused

    async def send(
        self, method: str, url: str, *, once: bool = False, **request: "Unpack[Request]"
    ) -> "aiohttp.ClientResponse":
        """Send a request, as `lib.http.send`, to an address that is allowed by its name or public.

        Raises:
            AddressRefused: the address may not be called.
            aiohttp.ClientError: the server could not be reached, or hung up. Its text may hold addresses.
        """
        import aiohttp

        from lib.http import ANYWHERE, Way, send_by

        self.check(url)
        way = ANYWHERE if self._is_allowed(URL(url)) else Way(_public_socket, self.resolver)
        try:
            return await send_by(way, method, url, once=once, **request)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _NotPublic):
                raise AddressRefused from None
            raise

    def _is_allowed(self, url: URL) -> bool:
        host = f"[{url.host}]" if ":" in (url.host or "") else url.raw_host or ""
        named = {host, f"{host}:{url.port}", host.strip("[]")}
        return not named.isdisjoint(allowed.lower() for allowed in self.allowed_hosts)


class _NotPublic(PermissionError):
    """A connection to an address that is not public. It never says which."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "not a public address")


def _public_socket(address: "AddressInfo") -> socket:
    family, kind, protocol, _, (host, *_) = address
    if not is_public(host):
        raise _NotPublic
    return socket(family, kind, protocol)


def _parsed(url: str) -> URL:
    """Read an address exactly as the client that connects to it does."""
    if len(url) > URL_LIMIT:
        raise AddressRefused(f"An address has at most {URL_LIMIT} characters.")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise AddressRefused("An address holds no blanks.")
    try:
        parsed = URL(url)
        port = parsed.port
    except ValueError:
        raise AddressRefused("This is not an address.") from None
    if parsed.scheme not in {"https", "http"} or not parsed.host or not port:
        raise AddressRefused("An address starts with https:// and a host.")
    return parsed


def _is_literal(url: URL) -> bool:
    """Say whether the host is an address rather than a name, also where only aiohttp takes it for one."""
    host = url.host or ""
    return ":" in host or host.replace(".", "").isdigit()
