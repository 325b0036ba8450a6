"""Every function behind one port, routed by the table that Vercel reads: `uvicorn lib.web.local:app`."""

import json
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from lib.web.app import function

TABLE: Final = Path(__file__).resolve().parents[2] / "vercel.json"

Route = tuple[re.Pattern[str], ASGIApp]


def read_table(table: Path = TABLE) -> list[tuple[re.Pattern[str], str]]:
    """Return the rewrites in their order: a pattern of paths, and the function's module.

    A source is a literal path, in which `(.*)` stands for anything.
    """
    rewrites = json.loads(table.read_text())["rewrites"]
    return [(_pattern(rewrite["source"]), _module(rewrite["destination"])) for rewrite in rewrites]


def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in source.split("(.*)")))


def _module(destination: str) -> str:
    return destination.removeprefix("/").removesuffix(".py").replace("/", ".")


class LocalServer:
    """Hands each request to the function that the table names for its path, as the platform would."""

    def __init__(self, routes: Sequence[Route], otherwise: ASGIApp) -> None:
        """Take the routes in the table's order; `otherwise` answers every other path, and the lifespan."""
        self._routes = routes
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        path = scope.get("path", "")
        app = next((app for pattern, app in self._routes if pattern.fullmatch(path)), self._otherwise)
        await app(scope, receive, send)


app = LocalServer([(pattern, import_module(module).app) for pattern, module in read_table()], otherwise=function())
