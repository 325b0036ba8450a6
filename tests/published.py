"""Every route that the functions publish, read from the apps themselves, so that a new one cannot be forgotten."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from fastapi.routing import APIRoute, iter_route_contexts

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "api").rglob("*.py"))
"""The modules of the functions: `api.auth`, `api.chat.stream` ..."""

_PARAMETER = re.compile(r"\{[^}]+\}")


@dataclass(frozen=True)
class Published:
    """A route of a function; `template` may hold parameters: `/users/{user_id}`."""

    function: str
    method: str
    template: str
    handler: Callable[..., object] = field(repr=False)

    @property
    def path(self) -> str:
        """A path that leads to it."""
        return _PARAMETER.sub("01995d2e-0000-7000-8000-000000000000", self.template)

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def published() -> list[Published]:
    """Return every route of every function."""
    return [route for function in FUNCTIONS for route in _routes(function)]


def distinct() -> list[Published]:
    """Return one route of each handler and method: under another prefix it is the same code."""
    return list({(route.handler, route.method): route for route in published()}.values())


def _routes(function: str) -> Iterator[Published]:
    for context in iter_route_contexts(import_module(function).app.routes):
        assert isinstance(context.original_route, APIRoute), "only API routes are known to be safe here"
        for method in sorted(context.methods or ()):
            yield Published(function, method, str(context.path_format), context.original_route.endpoint)
