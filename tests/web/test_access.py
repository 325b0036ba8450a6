"""The role matrix: every published route, asked by everybody there is."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import pytest

from tests.access import ACCESS, Access, body_of, key_of
from tests.fixtures.people import Asker, Found, someone
from tests.fixtures.web import CRON_SECRET, INTERNAL_KEY, Deployment, Rows
from tests.published import Published, distinct, published

ROUTES = distinct()

REFUSED: Final = {401: "unauthenticated", 403: "forbidden"}

LETS_IN: Final[Mapping[Access, set[str]]] = {
    "anyone": {"guest", "user", "admin", "key:chat", "key:read", "key:read+chat", "key:admin", "server"},
    "chatter": {"guest", "user", "admin", "key:chat", "key:read+chat", "server"},
    "reader": {"user", "admin", "key:read", "key:read+chat"},
    "writer": {"user", "admin", "key:chat", "key:read+chat"},
    "editor": {"user", "admin", "key:read+chat"},
    "knower": {"user", "admin", "key:read", "key:read+chat", "key:admin"},
    "person": {"user", "admin"},
    "owner": {"user", "admin", "key:admin"},
    "admin": {"admin", "key:admin", "server"},
    "team admin": {"admin", "key:admin"},
    "server": {"server"},
    "schedule": {"schedule"},
}

KNOWN: Final = {"user", "admin", "key:chat", "key:read", "key:read+chat", "key:admin"}
"""Those who are known; whoever is not is asked to sign in, and told no more."""


def test_every_published_route_is_in_the_table_and_nothing_else_is() -> None:
    assert {key_of(route) for route in published()} == set(ACCESS)


async def who(parley: Deployment, name: str, team_id: UUID) -> Asker:
    """Return a fresh somebody of this kind, in a team."""
    kind, _, scopes = name.partition(":")
    match kind:
        case "user":
            return await someone(parley, team_id=team_id)
        case "admin":
            return await someone(parley, "admin", team_id=team_id)
        case "key":
            owner = await someone(parley, "admin", team_id=team_id)
            return await owner.key(*scopes.split("+"))  # pyright: ignore[reportArgumentType]
        case "server":
            return Asker(parley.url, headers={"X-Internal-API-Key": INTERNAL_KEY})
        case "schedule":
            return Asker(parley.url, headers={"Authorization": f"Bearer {CRON_SECRET}"})
        case _:
            return Asker(parley.url)


async def ask(asker: Asker, route: Published) -> tuple[int, str]:
    """Ask for oneself or for what is nobody's, and return the status and the code of the answer."""
    own = route.template.replace("{user_id}", str(asker.id)) if asker.id else route.path
    path = own if "{" not in own else route.path
    answer = await asker.ask(route.method, path, **body_of(route))
    if not answer.is_error or not answer.content:
        return answer.status_code, ""
    told: dict[str, str] = answer.json()
    return answer.status_code, told.get("code", "")  # what is down has a status, and is no error


@pytest.mark.parametrize("name", sorted({name for names in LETS_IN.values() for name in names}))
async def test_a_route_lets_in_whom_it_is_for_and_tells_the_others_why_not(
    parley: Deployment, found: Found, name: str
) -> None:
    team_id, wrong = await found(), dict[str, tuple[int, str]]()
    for route in ROUTES:
        access = ACCESS[key_of(route)]
        asker = await who(parley, name, team_id)
        status, code = await ask(asker, route)
        if name in LETS_IN[access] or (name == "schedule" and access == "anyone"):
            right = code not in {"unauthenticated", "forbidden", "scope_missing", "internal_error"}
        elif name in KNOWN and access not in {"server", "schedule"}:
            right = (status, code) in {(403, "forbidden"), (403, "scope_missing"), (404, "not_found")}
        else:
            right = (status, code) == (401, "unauthenticated")
        if not right:
            wrong[f"{route}"] = (status, code)
    assert wrong == {}


@pytest.mark.parametrize(
    "credential",
    [
        "Bearer x",
        "Bearer",
        "Bearer a.b.c",
        "Basic dXNlcjpwYXNz",
        "Bearer parley_x_y",
        "Bearer 0b2f4a55-8c1d-4f6e-9a37-5d1c0e7b9f42",
        "x",
    ],
)
async def test_a_credential_that_does_not_hold_is_never_taken_for_a_guests(parley: Deployment, credential: str) -> None:
    asker = Asker(parley.url, headers={"Authorization": credential})
    wrong = {
        f"{route}": answer
        for route in ROUTES
        if ACCESS[key_of(route)] != "anyone" and (answer := await ask(asker, route)) != (401, "unauthenticated")
    }
    assert {name: answer for name, answer in wrong.items() if not name.startswith("HEAD")} == {}


async def test_each_way_in_is_shut_at_once_when_the_account_is_switched_off(parley: Deployment, rows: Rows) -> None:
    person = await someone(parley, "admin")
    program = await person.key("chat", "read", "admin")
    browser = Asker(parley.url, headers={"Cookie": f"access_token={person.headers['Authorization'].split()[1]}"})
    await rows("UPDATE users SET is_active = false WHERE id = %s", person.id)
    for asker in (person, program, browser):
        open_still = {
            f"{route}"
            for route in ROUTES
            if ACCESS[key_of(route)] in {"chatter", "reader", "writer", "editor", "admin", "team admin"}
            and "{" not in route.template
            and (await ask(asker, route))[0] != 401
        }
        assert open_still == set()
