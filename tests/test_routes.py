"""One table: each route of each function is reached, and by nobody else's path, wherever Parley runs."""

import re
from collections import Counter
from collections.abc import Callable

import pytest

from lib.web.local import read_table
from tests.published import FUNCTIONS, Published, published
from tests.test_bundle import TABLE, front, http_api

ROUTES = published()


def on_vercel(path: str) -> str | None:
    """Return the function of the first rewrite that matches, its source read as the regular expression it is."""
    found = next((to for source, to in TABLE.items() if re.fullmatch(source, path)), None)
    return module_of(found) if found else None


def on_a_laptop(path: str) -> str | None:
    """Return the function that the local server hands the path to."""
    return next((module for pattern, module in read_table() if pattern.fullmatch(path)), None)


def on_lambda(path: str) -> str | None:
    """Return the function that AWS runs: the HTTP API's most specific route, or the stream's own address.

    CloudFront takes the slash from the end of a list's path first. Then an exact route wins over a greedy one, the
    longest greedy one over the others, and those over `*`, whose function refuses what it does not publish. `{proxy+}`
    is not relied on to be empty.
    (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html)
    """
    (lists,) = re.findall(r"if \(/(.+)/\.test\(request\.uri\)\)", front()["Edge"]["Properties"]["FunctionCode"])
    path = path.removesuffix("/") if re.fullmatch(lists.replace(r"\/", "/"), path) else path
    streamed = [source for source, to in TABLE.items() if to == "/api/chat/stream.py"]
    if any(re.fullmatch(source, path) for source in streamed):
        return "api.chat.stream"
    events = {route: module_of(file) for route, file in http_api().items()}
    fitting = [route for route in events if fits(route, path)]
    best = max(fitting, key=lambda route: ("{" not in route, len(route)), default="*")
    published_there = best != "*" or any(route.path == path and route.function == events["*"] for route in ROUTES)
    return events[best] if published_there else None


def fits(route: str, path: str) -> bool:
    """Tell whether a route of the HTTP API takes a path."""
    return re.fullmatch(re.escape(route).replace(re.escape("{proxy+}"), ".+"), path) is not None


def module_of(destination: str) -> str:
    """Return the module of a file: `/api/auth.py` is `api.auth`."""
    return destination.removeprefix("/").removesuffix(".py").replace("/", ".")


@pytest.mark.parametrize("route", ROUTES, ids=str)
@pytest.mark.parametrize("place", [on_vercel, on_a_laptop, on_lambda])
def test_a_route_is_reached_everywhere(place: Callable[[str], str | None], route: Published) -> None:
    assert place(route.path) == route.function


def test_no_two_functions_publish_one_route() -> None:
    counted = Counter((route.method, route.path) for route in ROUTES)
    assert [route for route, times in counted.items() if times > 1] == []


def test_every_function_publishes_something() -> None:
    assert sorted({route.function for route in ROUTES}) == FUNCTIONS


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/nothing", "/api/v1/chat/other", "/docs", "/openapi.json", "/api/auth.py"]
)
def test_a_path_of_nobody_is_nobodys_everywhere(path: str) -> None:
    assert {place(path) for place in (on_vercel, on_a_laptop, on_lambda)} == {None}
