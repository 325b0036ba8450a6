"""Whether a browser's page may act with the cookies of its user.

A page of another origin can have a browser send a request, and the browser adds the cookies that it holds for us;
`SameSite=Strict` keeps them back, and this is the second lock. The rules are those of Go's `CrossOriginProtection`
(net/http, Go 1.25): `Sec-Fetch-Site` where the browser sends it, else `Origin` against the host that was asked. What
sends neither is no browser, and holds no cookie that it was not given to use.
"""

from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers

from lib.errors import OriginRefused

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def refuse_strange_origin(method: str, headers: Headers, allowed: Collection[str]) -> None:
    """Let a request pass that changes nothing, that a page of ours or of an allowed origin sends, or no page at all.

    Raises:
        OriginRefused: it is none of these.
    """
    if method in SAFE_METHODS:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site in {"same-origin", "none"} or origin in allowed or (site is None and origin is None):
        return
    host = headers.get("host")
    # Compared as it stands: what anybody writes as an origin need not be one, and is not taken apart.
    if site is None and host and origin in {f"http://{host}", f"https://{host}"}:
        return
    raise OriginRefused
