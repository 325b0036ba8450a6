"""Forms are UTF-8: what another charset is named for is refused before anything of it is read.

Starlette decodes a form's parts as whatever its `charset` says, in the event loop. Of Python's codecs one always fails
(`undefined`), and one takes a second for 120 kilobytes and four times that for twice as many (`punycode`).
"""

from collections.abc import Callable
from typing import Final

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_UTF_8: Final = {b"utf-8", b"utf8"}


class Utf8Forms:
    """Refuses a form of parts in another charset. No browser names one; RFC 7578 (5.1.2) knows none in this place."""

    def __init__(self, app: ASGIApp, answer: Callable[[], ASGIApp]) -> None:
        """Wrap `app`; `answer` makes the refusal."""
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        strange = scope["type"] == "http" and _names_another(Headers(scope=scope).get("content-type", ""))
        await (self._answer() if strange else self._app)(scope, receive, send)


def _names_another(content_type: str) -> bool:
    """Read the header with the parser that Starlette reads it with, so that both see the same charset."""
    if "multipart" not in content_type.lower():
        return False
    _, options = parse_options_header(content_type)
    return options.get(b"charset", b"utf-8").lower() not in _UTF_8
