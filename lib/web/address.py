"""The client's address, as the platform says it. What a client says of itself is never believed.

Every platform puts it elsewhere, and passes on what a client put where the others look
(`docs/decisions/client-address.md`).
"""

import hmac
import ipaddress
import json
from functools import lru_cache
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import Scope

from lib.settings import Settings, this_place

UNKNOWN: Final = "unknown"
"""The address of a client that has none that can be read, as a job's call of itself."""

EDGE_KEY_HEADER: Final = "x-parley-edge-key"
VIEWER_HEADER: Final = "x-parley-viewer-address"
"""What the CloudFront distribution of `scripts/aws/front.yml` says, and with what it shows that it is it."""


def client_address(scope: Scope) -> str:
    """Return the address that a request came from, in its one spelling; `UNKNOWN` where the platform says none."""
    headers = Headers(scope=scope)
    match this_place().platform:
        case "vercel":
            given = _last(headers, "x-vercel-forwarded-for")
        case "lambda":
            given = _at_the_edge(headers, scope["app"].state.instance.settings) or _at_lambda(headers, scope)
        case "other":
            given = _peer(scope)
    return _readable(given)


def _at_the_edge(headers: Headers, settings: Settings) -> str | None:
    """Return what our own CloudFront says. Anybody may send its headers; only it has the key."""
    key, shown = settings.edge_key, headers.get(EDGE_KEY_HEADER, "")
    if key is None or not hmac.compare_digest(shown.encode(), key.get_secret_value().encode()):
        return None
    return _last(headers, VIEWER_HEADER)


def _at_lambda(headers: Headers, scope: Scope) -> str | None:
    """Return who connected to the HTTP API, as Mangum read it from the event, or to the stream's function URL."""
    if "aws.event" in scope:
        return _peer(scope)
    try:
        # The web adapter writes this header itself, over whatever a client sent.
        context: Any = json.loads(headers.get("x-amzn-request-context", ""))
        return context["http"]["sourceIp"]
    except (KeyError, TypeError, ValueError):
        return None


def _peer(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _last(headers: Headers, name: str) -> str:
    """Return the last of a header's values: what a platform appends to, if it does not replace it, it appends there."""
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()


def _readable(given: object) -> str:
    return _one_spelling(given) if isinstance(given, str) else UNKNOWN


@lru_cache(maxsize=1024)
def _one_spelling(given: str) -> str:
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        return UNKNOWN
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)
