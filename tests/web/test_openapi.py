"""Everything that the OpenAPI of all functions allows, and much that it does not, from guests and from those who may.

Schemathesis makes the requests. None is answered by a fault of ours, and none passes without a credential it needs.
"""

import asyncio
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import Any, Final

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.access import ACCESS, key_of
from tests.fixtures.people import Asker, Found, someone
from tests.fixtures.web import CRON_SECRET, INTERNAL_KEY, Deployment
from tests.published import FUNCTIONS, Published, distinct

EXAMPLES: Final = 12
"""Requests of each kind, valid and not, for each route and each who asks."""

SLOW_OR_LARGE: Final = (
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
)
"""What a request may be, without anybody being told."""

ROUTES: Final = {(route.method, route.template): route for route in distinct()}
OPEN: Final = {"anyone", "chatter"}
SERVER: Final = {"X-Internal-API-Key": INTERNAL_KEY}
PROGRAMS: Final = {
    "server": [SERVER],
    "admin": [SERVER],
    "schedule": [{"Authorization": f"Bearer {CRON_SECRET}"}],
}
"""Whose credential lets them in where that is the access. Guests try every route, an administrator those for users."""


def operations() -> Iterator[tuple[Published, Any]]:
    """Yield each route once, and what OpenAPI says of it."""
    for function in FUNCTIONS:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Duplicate Operation ID")  # GET and HEAD of one handler
            described = import_module(function).app.openapi()
        schema: Any = schemathesis.openapi.from_dict(described)
        for found in schema.get_all_operations():
            operation = found.ok()
            if route := ROUTES.get((operation.method.upper(), operation.path)):
                yield route, operation


OPERATIONS: Final = list(operations())


def test_openapi_tells_of_every_route() -> None:
    assert {route for route, _ in OPERATIONS} == set(ROUTES.values())


def send(case: Any, asker: Asker, session: requests.Session) -> requests.Response:
    """Send a request as somebody. What Schemathesis makes up for a credential gives way to theirs."""
    sent = case.as_transport_kwargs(base_url=asker.url)
    made_up: dict[str, str] = sent.pop("headers", None) or {}
    kept = {name: value for name, value in made_up.items() if name.lower() not in SECRET}
    sent.pop("cookies", None)
    return session.request(**sent, headers=kept | asker.headers, allow_redirects=False, timeout=60)


def unreadable(answer: requests.Response) -> bool:
    """Say whether the body was too large, or no JSON or form at all, which is found out before who asks."""
    return answer.status_code in {400, 413} or '"type":"json_invalid"' in answer.text


SECRET: Final = {"authorization", "cookie", "x-internal-api-key"}


def try_out(operation: Any, route: Published, askers: Sequence[Asker], mode: GenerationMode) -> None:
    """Send what is made up as each of these: making it up takes longer than its answers."""
    with ExitStack() as stack:
        sessions = [(asker, stack.enter_context(requests.Session())) for asker in askers]
        for _, session in sessions:
            session.trust_env = False

        @given(case=operation.as_strategy(mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=SLOW_OR_LARGE,
        )
        def every_request_is_answered(case: Any) -> None:
            for asker, session in sessions:
                check(route, asker, send(case, asker, session))

        every_request_is_answered()


def check(route: Published, asker: Asker, answer: requests.Response) -> None:
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    if answer.status_code == 503:
        assert route.template.startswith("/health/"), answer.text
    if not asker.headers and ACCESS[key_of(route)] not in OPEN and not unreadable(answer):
        assert answer.status_code in {401, 404, 405}, f"{route}: {answer.text}"
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
async def test_no_request_is_our_fault_and_none_passes_without_its_credential(
    parley: Deployment, found: Found, mode: GenerationMode
) -> None:
    team_id = await found()
    for route, operation in OPERATIONS:
        access = ACCESS[key_of(route)]
        askers = [Asker(parley.url), *(Asker(parley.url, headers=headers) for headers in PROGRAMS.get(access, ()))]
        if access not in {"anyone", "server", "schedule"}:
            askers.append(await someone(parley, "admin", team_id=team_id))
        try:
            await asyncio.to_thread(try_out, operation, route, askers, mode)
        except Unsatisfiable:
            # Where there is nothing to fill in, nothing can be wrong.
            assert mode is GenerationMode.NEGATIVE
            assert not operation.body
            assert not list(operation.iter_parameters())
