"""Which function Vercel asks for a path, by the routes of the build."""

import re
from collections.abc import Mapping
from typing import Any


def function_of(config: Mapping[str, Any], path: str) -> str:
    """Return the name of the function that the first matching route leads to.

    A destination is a source file; the routes of the `miss` phase take its ending off.

    Raises:
        LookupError: no route leads anywhere.
    """
    routes = config["routes"]
    failed, missed = routes.index({"handle": "error"}), routes.index({"handle": "miss"})
    for route in routes[:failed]:
        if "dest" in route and re.search(route["src"], path):
            return _resolved(routes[missed:], route["dest"]).removeprefix("/")
        if "status" in route and re.search(route["src"], path):
            break
    raise LookupError(path)


def _resolved(routes: list[dict[str, Any]], path: str) -> str:
    for route in routes:
        if "src" in route and (match := re.search(route["src"], path)):
            return route["dest"].replace("$1", match[1])
    return path


def example(source: str) -> str:
    """Return a path that a row of the table matches and that no handler knows, where the row leaves room for one."""
    return source.replace("(.*)", "no/such/thing")
