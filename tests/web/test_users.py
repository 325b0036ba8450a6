"""A team's people, over HTTP."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from lib.ids import new_id
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.people import Asker, Found, kinds, someone
from tests.fixtures.web import INTERNAL_KEY, PASSWORD, Deploy, Deployment, Rows


def email() -> str:
    return f"{uuid4().hex}@example.com"


@pytest.fixture
async def admin(parley: Deployment, team_id: UUID) -> Asker:
    """The team's only administrator."""
    return await someone(parley, "admin", team_id=team_id)


@pytest.fixture
async def user(parley: Deployment, team_id: UUID) -> Asker:
    """A user of the same team."""
    return await someone(parley, team_id=team_id)


# Who may do what


@pytest.fixture
async def askers(parley: Deployment, admin: Asker, user: Asker, team_id: UUID, found: Found) -> dict[str, Asker]:
    """Everybody who may ask about `user`."""
    demoted = await someone(parley, "admin", team_id=team_id)
    program = await demoted.key("admin", "read", "chat")
    away = await admin.ask("PATCH", f"/users/{demoted.id}", json={"role": "user"})
    assert away.status_code == 200
    return {
        "guest": Asker(parley.url),
        "one of our servers": Asker(parley.url, headers={"X-Internal-API-Key": INTERNAL_KEY}),
        "nobody's key": Asker(parley.url, headers={"Authorization": f"Bearer parley_{'A' * 22}_{'B' * 43}"}),
        "a user": await someone(parley, team_id=team_id),
        "another team's admin": await someone(parley, "admin", team_id=await found()),
        "a demoted admin's token": demoted,
        "a demoted admin's key": program,
        "a key to chat": await admin.key("chat"),
        "a key to read": await admin.key("read"),
        "the user's key": await user.key("read", "chat"),
        "the user": user,
        "an admin's key": await admin.key("admin"),
        "an admin": admin,
    }


UNAUTHENTICATED, FORBIDDEN, SCOPE = (401, "unauthenticated"), (403, "forbidden"), (403, "scope_missing")
NOBODY = (404, "not_found")
STRANGERS = {
    "guest": UNAUTHENTICATED,
    "one of our servers": UNAUTHENTICATED,
    "nobody's key": UNAUTHENTICATED,
    "a key to chat": SCOPE,
    "a key to read": SCOPE,
}
NO_ADMINS = {
    **STRANGERS,
    "a user": FORBIDDEN,
    "a demoted admin's token": FORBIDDEN,
    "a demoted admin's key": FORBIDDEN,
    "the user's key": SCOPE,
    "the user": FORBIDDEN,
}
TO_OTHERS = {
    **STRANGERS,
    "a user": NOBODY,
    "another team's admin": NOBODY,
    "a demoted admin's token": NOBODY,
    "a demoted admin's key": NOBODY,
}
ALLOWED: list[tuple[str, str, dict[str, Any] | None, dict[str, tuple[int, str]]]] = [
    ("GET", "/users/", None, NO_ADMINS),
    ("POST", "/users/", {"email": "x@example.com", "password": PASSWORD}, NO_ADMINS),
    ("GET", "/users/{user}", None, TO_OTHERS),
    ("PUT", "/users/{user}", {"full_name": "Somebody"}, TO_OTHERS | {"the user's key": SCOPE}),
    ("PATCH", "/users/{user}", {"full_name": "Somebody"}, TO_OTHERS | {"the user's key": SCOPE}),
    ("PATCH", "/users/{user}", {"role": "user"}, TO_OTHERS | {"the user": FORBIDDEN, "the user's key": SCOPE}),
    ("DELETE", "/users/{user}", None, NO_ADMINS | {"another team's admin": NOBODY}),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "refused"), ALLOWED, ids=[f"{method} {path} {body}" for method, path, body, _ in ALLOWED]
)
async def test_who_may_do_what(
    askers: dict[str, Asker],
    user: Asker,
    rows: Rows,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    refused: dict[str, tuple[int, str]],
) -> None:
    of_user = "SELECT * FROM users WHERE id = %s"
    before = await rows(of_user, user.id)
    for who, asker in askers.items():
        if who not in refused:
            continue
        response = await asker.ask(method, path.format(user=user.id), json=body)
        assert (who, response.status_code, response.json()["code"]) == (who, *refused[who])
    assert await rows(of_user, user.id) == before
    for who, asker in askers.items():
        if who in refused or (who == "an admin's key" and method == "DELETE"):
            continue
        more = {"json": {**body, "email": email()}} if body and "email" in body else {"json": body}
        response = await asker.ask(method, path.format(user=user.id), **more)
        assert (who, response.is_success) == (who, True), response.text


async def test_one_team_does_not_list_another(admin: Asker, askers: dict[str, Asker], team_id: UUID) -> None:
    own = {row["team_id"] for row in (await admin.ask("GET", "/users/", params={"limit": 200})).json()}
    (other,) = (await askers["another team's admin"].ask("GET", "/users/")).json()
    assert own == {str(team_id)}
    assert other["team_id"] != str(team_id)


async def test_a_demoted_admin_is_none_at_once_on_any_instance(
    parley: Deployment, deploy: Deploy, admin: Asker, team_id: UUID
) -> None:
    other = await deploy()
    second = await someone(parley, "admin", team_id=team_id)
    program = await second.key("admin")
    for asker in (second, program):
        assert (await asker.at(other).ask("GET", "/users/")).status_code == 200
    assert (await admin.ask("PATCH", f"/users/{second.id}", json={"role": "user"})).status_code == 200
    for asker in (second, program):
        refused = await asker.at(other).ask("GET", "/users/")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("how", ["deactivated", "deleted"])
async def test_whoever_is_switched_off_is_out_at_once_everywhere(
    deploy: Deploy, admin: Asker, user: Asker, rows: Rows, how: str
) -> None:
    other = await deploy()
    program = await user.key("read", "chat")
    for asker in (user, program):
        assert (await asker.at(other).ask("GET", "/auth/me")).status_code == 200
    if how == "deleted":
        assert (await admin.ask("DELETE", f"/users/{user.id}")).status_code == 204
    else:
        assert (await admin.ask("PATCH", f"/users/{user.id}", json={"is_active": False})).status_code == 200
    for asker in (user, program):
        refused = await asker.at(other).ask("GET", "/auth/me")
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    live = "SELECT id FROM {} WHERE user_id = %s AND revoked_at IS NULL"
    assert [await rows(live.format(table), user.id) for table in ("sessions", "api_keys")] == [[], []]


async def test_what_began_while_the_account_was_switched_off_does_not_come_back_with_it(
    admin: Asker, user: Asker, team_id: UUID, rows: Rows, database_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        # As a log-in and a new key do that are not done yet.
        await other.execute("UPDATE users SET last_login_at = now() WHERE id = %s", [user.id])
        await other.execute(
            "INSERT INTO sessions (id, team_id, user_id, expires_at)"
            " VALUES (gen_random_uuid(), %s, %s, now() + interval '1 day')",
            [team_id, user.id],
        )
        await other.execute(
            "INSERT INTO api_keys (id, team_id, user_id, name, scopes, secret_hash)"
            " VALUES (gen_random_uuid(), %s, %s, 'A program', ARRAY['read'], '')",
            [team_id, user.id],
        )
        switching = asyncio.create_task(admin.ask("PATCH", f"/users/{user.id}", json={"is_active": False}))
        waiting = "SELECT pid FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
        async with asyncio.timeout(2):
            while not switching.done() and not await rows(waiting, other.info.backend_pid):
                pass
    assert (await switching).status_code == 200
    assert (await admin.ask("PATCH", f"/users/{user.id}", json={"is_active": True})).status_code == 200
    alive = "SELECT id FROM {} WHERE user_id = %s AND revoked_at IS NULL"
    assert [await rows(alive.format(table), user.id) for table in ("sessions", "api_keys")] == [[], []]


async def test_an_admin_who_is_not_the_last_may_switch_themselves_off(
    parley: Deployment, admin: Asker, team_id: UUID
) -> None:
    other = await someone(parley, "admin", team_id=team_id)
    off = await other.ask("PATCH", f"/users/{other.id}", json={"is_active": False})
    assert (off.status_code, off.json()["is_active"]) == (200, False)
    assert (await other.ask("GET", "/auth/me")).status_code == 401
    assert (await admin.ask("GET", f"/users/{other.id}")).json()["is_active"] is False


async def test_whoever_is_switched_on_again_signs_in_anew(admin: Asker, user: Asker) -> None:
    program = await user.key("read")
    for active in (False, True):
        assert (await admin.ask("PATCH", f"/users/{user.id}", json={"is_active": active})).status_code == 200
    for asker in (user, program):
        assert (await asker.ask("GET", "/auth/me")).status_code == 401


@pytest.mark.parametrize("change", [{"is_active": False}, {"email": "elsewhere@example.com"}])
async def test_a_link_to_a_new_password_does_not_outlive_what_it_was_sent_to(
    admin: Asker, user: Asker, team_id: UUID, rows: Rows, change: dict[str, Any]
) -> None:
    link = new_id()
    await rows(
        "INSERT INTO password_resets (id, team_id, user_id, token_hash, expires_at)"
        " VALUES (%s, %s, %s, '', now() + interval '30 minutes')",
        *(link, team_id, user.id),
    )
    still = "SELECT id FROM password_resets WHERE id = %s AND used_at IS NULL"
    assert (await admin.ask("PATCH", f"/users/{user.id}", json={"full_name": "Ada", "role": "user"})).is_success
    assert len(await rows(still, link)) == 1
    assert (await admin.ask("PATCH", f"/users/{user.id}", json=change)).is_success
    assert await rows(still, link) == []


# Fields


UNKNOWN: list[dict[str, Any]] = [
    {"id": str(uuid4())},
    {"team_id": str(uuid4())},
    {"password": PASSWORD},
    {"password_hash": "x"},
    {"created_at": "2026-01-01T00:00:00Z"},
    {"last_login_at": "2026-01-01T00:00:00Z"},
    {"two_factor_enabled": False},
    {"Role": "admin"},
    {"role ": "admin"},
]


async def test_what_nobody_may_set_is_refused_to_anybody(admin: Asker, user: Asker, rows: Rows) -> None:
    before = await rows("SELECT * FROM users WHERE id = %s", user.id)
    for asker, method, path in (
        (user, "PATCH", "/auth/me"),
        (user, "PUT", f"/users/{user.id}"),
        (admin, "PATCH", f"/users/{user.id}"),
    ):
        for field in UNKNOWN:
            refused = await asker.ask(method, path, json={"full_name": "Mallory", **field})
            assert (field, refused.status_code, refused.json()["code"]) == (field, 422, "invalid_request")
    assert await rows("SELECT * FROM users WHERE id = %s", user.id) == before


PRIVILEGED: list[dict[str, Any]] = [
    {"role": "admin"},
    {"role": "user"},
    {"is_active": True},
    {"email": "x@example.com"},
]


async def test_a_user_may_not_set_what_is_an_admins(user: Asker, rows: Rows) -> None:
    before = await rows("SELECT * FROM users WHERE id = %s", user.id)
    for field in PRIVILEGED:
        refused = await user.ask("PATCH", f"/users/{user.id}", json={"full_name": "Mallory", **field})
        assert (field, refused.status_code, refused.json()["code"]) == (field, 403, "forbidden")
        profile = await user.ask("PATCH", "/auth/me", json={"full_name": "Mallory", **field})
        assert (field, profile.status_code, profile.json()["code"]) == (field, 422, "invalid_request")
    assert await rows("SELECT * FROM users WHERE id = %s", user.id) == before


WRONG: list[Any] = [
    {"role": "owner"},
    {"role": None},
    {"is_active": None},
    {"is_active": "false"},
    {"email": "nobody"},
    {"email": None},
    {"full_name": ""},
    {"full_name": " "},
    {"full_name": "x" * 201},
    {"full_name": "a\0b"},
    {"full_name": 7},
    [],
    None,
]


async def test_a_value_that_cannot_be_is_refused(admin: Asker, user: Asker) -> None:
    for wrong in WRONG:
        refused = await admin.ask("PUT", f"/users/{user.id}", json=wrong)
        assert (wrong, refused.status_code, refused.json()["code"]) == (wrong, 422, "invalid_request")


async def test_an_update_changes_what_it_names_and_nothing_else(admin: Asker, user: Asker) -> None:
    first = (await admin.ask("PUT", f"/users/{user.id}", json={"full_name": "Ada", "preferences": {"a": 1}})).json()
    second = (await admin.ask("PUT", f"/users/{user.id}", json={"role": "admin"})).json()
    third = (await admin.ask("PATCH", f"/users/{user.id}", json={"full_name": None})).json()
    assert second == first | {"role": "admin"}
    assert third == second | {"full_name": None}
    assert (await admin.ask("PATCH", f"/users/{user.id}", json={})).json() == third
    assert (await user.ask("GET", f"/users/{user.id}")).json() == third


# Making and listing


async def test_an_admin_makes_an_account_that_its_owner_signs_in_to(
    parley: Deployment, admin: Asker, team_id: UUID
) -> None:
    address = email()
    wanted = {"email": address.upper(), "password": PASSWORD, "full_name": "Ada", "role": "admin"}
    made = await admin.ask("POST", "/users/", json=wanted)
    assert made.status_code == 201
    body = made.json()
    assert (body["email"], body["role"], body["team_id"]) == (address, "admin", str(team_id))
    assert "password" not in made.text
    assert (await admin.ask("GET", f"/users/{body['id']}")).json() == body
    login = await Asker(parley.url).ask("POST", "/auth/login", json={"email": address, "password": PASSWORD})
    assert login.status_code == 200, login.text


async def test_an_address_that_is_taken_is_told_to_an_admin_and_to_no_user(admin: Asker, user: Asker) -> None:
    wanted = {"email": f"{user.id}@example.com", "password": PASSWORD}
    taken = await admin.ask("POST", "/users/", json=wanted)
    assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")
    changed = await admin.ask("PATCH", f"/users/{admin.id}", json={"email": wanted["email"]})
    assert (changed.status_code, changed.json()["code"]) == (409, "email_taken")
    assert (await user.ask("POST", "/users/", json=wanted)).status_code == 403


async def test_a_list_says_who_has_a_second_factor_that_counts(
    admin: Asker, user: Asker, team_id: UUID, rows: Rows
) -> None:
    insert = "INSERT INTO second_factors (user_id, team_id, sealed_secret, confirmed_at) VALUES (%s, %s, '', {})"
    await rows(insert.format("now()"), user.id, team_id)
    await rows(insert.format("NULL"), admin.id, team_id)
    listed = (await admin.ask("GET", "/users/")).json()
    assert {one["id"]: one["two_factor_enabled"] for one in listed} == {str(user.id): True, str(admin.id): False}


async def test_a_list_is_read_by_pages_the_newest_first_and_without_pictures(
    parley: Deployment, admin: Asker, team_id: UUID
) -> None:
    people = [await someone(parley, team_id=team_id) for _ in range(4)]
    newest_first = [str(each.id) for each in (*reversed(people), admin)]
    for path in ("/users", "/users/"):
        whole = (await admin.ask("GET", path)).json()
        assert [each["id"] for each in whole] == newest_first
        assert {"avatar", "preferences", "password_hash"}.isdisjoint(whole[0])
    by_offset = [(await admin.ask("GET", "/users/", params={"limit": 2, "offset": at})).json() for at in (0, 2, 4)]
    assert [each["id"] for page in by_offset for each in page] == newest_first
    first = (await admin.ask("GET", "/users/", params={"limit": 3})).json()
    rest = (await admin.ask("GET", "/users/", params={"limit": 3, "after": first[-1]["id"]})).json()
    assert [each["id"] for each in (*first, *rest)] == newest_first
    for wrong in ({"limit": 0}, {"limit": 201}, {"offset": -1}, {"after": "x"}, {"limit": "many"}):
        assert (await admin.ask("GET", "/users/", params=wrong)).status_code == 422


# A team keeps an administrator


@pytest.mark.parametrize("how", [{"role": "user"}, {"is_active": False}, {"role": "user", "is_active": False}, None])
async def test_the_last_admin_stays_one(admin: Asker, user: Asker, how: dict[str, Any] | None) -> None:
    async def try_it() -> Any:
        path = f"/users/{admin.id}"
        return await (admin.ask("PATCH", path, json=how) if how else admin.ask("DELETE", path))

    refused = await try_it()
    assert (refused.status_code, refused.json()["code"]) == (409, "last_admin")
    switched_off = {"role": "admin", "is_active": False}
    assert (await admin.ask("PATCH", f"/users/{user.id}", json=switched_off)).is_success
    assert (await try_it()).status_code == 409  # the other one cannot sign in
    assert (await admin.ask("PATCH", f"/users/{user.id}", json={"is_active": True})).is_success
    assert (await try_it()).is_success
    assert (await admin.ask("GET", "/users/")).status_code in {401, 403}


async def test_an_admin_who_is_switched_off_may_be_demoted_and_deleted(admin: Asker, user: Asker) -> None:
    for change in ({"role": "admin", "is_active": False}, {"role": "user"}):
        assert (await admin.ask("PATCH", f"/users/{user.id}", json=change)).is_success
    assert (await admin.ask("DELETE", f"/users/{user.id}")).status_code == 204


@pytest.mark.parametrize("how", ["demoted", "deactivated", "deleted", "one of each"])
async def test_of_admins_who_remove_each_other_at_once_one_stays(
    deploy: Deploy, found: Found, rows: Rows, how: str
) -> None:
    one, other = await deploy(), await deploy()
    for _ in range(8):
        team_id = await found()
        ada, bob, cyd = [await someone(one, "admin", team_id=team_id) for _ in range(3)]
        ways = {"demoted": {"role": "user"}, "deactivated": {"is_active": False}, "deleted": None}
        chosen = list(ways) if how == "one of each" else [how] * 3

        async def remove(asker: Asker, target: Asker, way: dict[str, Any] | None) -> int:
            path = f"/users/{target.id}"
            done = await (asker.ask("PATCH", path, json=way) if way else asker.ask("DELETE", path))
            return done.status_code

        done = await asyncio.gather(
            remove(ada, bob, ways[chosen[0]]),
            remove(bob.at(other), cyd, ways[chosen[1]]),
            remove(cyd, ada, ways[chosen[2]]),
            remove(ada.at(other), ada, ways[chosen[0]]),
        )
        left = await rows("SELECT id FROM users WHERE team_id = %s AND role = 'admin' AND is_active", team_id)
        assert len(left) >= 1, done
        assert set(done) <= {200, 204, 401, 403, 404, 409}


# Events


async def test_every_change_says_who_changed_what(admin: Asker, user: Asker, team_id: UUID, rows: Rows) -> None:
    both: dict[str, Any] = {"role": "admin", "is_active": False, "full_name": "Ada", "preferences": {}}
    assert (await admin.ask("PATCH", f"/users/{user.id}", json=both)).is_success
    assert (await admin.ask("PATCH", f"/users/{user.id}", json={"is_active": True, "role": "admin"})).is_success
    assert (await admin.ask("DELETE", f"/users/{user.id}")).is_success
    told = await rows(
        "SELECT kind, actor_id, detail, address, device, team_id FROM security_events"
        " WHERE user_id = %s AND actor_id IS NOT NULL ORDER BY id",
        user.id,
    )
    assert [(row["kind"], row["detail"]) for row in told] == [
        ("user_updated", {"fields": ["full_name", "preferences"]}),
        ("role_changed", {"from": "user", "to": "admin"}),
        ("user_deactivated", {}),
        ("user_activated", {}),
        ("user_deleted", {}),
    ]
    assert {(row["actor_id"], row["address"], row["team_id"]) for row in told} == {(admin.id, "127.0.0.1", team_id)}
    assert all(row["device"].startswith("python-httpx/") for row in told)


async def test_what_is_refused_is_no_event(admin: Asker, user: Asker, rows: Rows) -> None:
    before = await kinds(rows, admin.id), await kinds(rows, user.id)
    assert (await admin.ask("PATCH", f"/users/{admin.id}", json={"role": "user"})).status_code == 409
    assert (await user.ask("PATCH", f"/users/{user.id}", json={"role": "admin"})).status_code == 403
    assert (await user.ask("PATCH", f"/users/{admin.id}", json={"full_name": "x"})).status_code == 404
    assert (await kinds(rows, admin.id), await kinds(rows, user.id)) == before


# What it costs


async def test_what_is_asked_of_an_account_costs_one_round_trip(
    deploy: Deploy, proxy: PostgresProxy, admin: Asker, user: Asker
) -> None:
    behind = await deploy(DATABASE_URL=proxy.url)
    program = (await admin.key("admin", "read")).at(behind)
    costs: list[tuple[str, int]] = []
    for asker, method, path, body in (
        (program, "GET", "/users/", None),  # the first of a connection, and of a key
        (program, "GET", "/users/", None),
        (admin.at(behind), "GET", f"/users/{user.id}", None),
        (admin.at(behind), "PATCH", f"/users/{user.id}", {"full_name": "Ada", "role": "admin"}),
        (user.at(behind), "PATCH", "/auth/me", {"preferences": {"theme": "dark"}}),
        (user.at(behind), "GET", "/auth/api-keys", None),
        (user.at(behind), "GET", "/auth/events", None),
        (admin.at(behind), "DELETE", f"/users/{user.id}", None),
    ):
        before = proxy.messages
        answer = await asker.ask(method, path, json=body)
        assert answer.is_success, answer.text
        costs.append((f"{method} {path}", proxy.messages - before))
    assert [trips for _, trips in costs[1:]] == [1] * 7, costs


async def test_a_key_makes_no_administrator_and_moves_no_address(parley: Deployment, team_id: UUID) -> None:
    admin = await someone(parley, "admin", team_id=team_id)
    user, key = await someone(parley, team_id=team_id), await admin.key("admin")
    new = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery"}
    made = await key.ask("POST", "/users/", json=new | {"role": "admin"})
    for answer in (
        made,
        await key.ask("PATCH", f"/users/{user.id}", json={"role": "admin"}),
        await key.ask("PATCH", f"/users/{user.id}", json={"email": "elsewhere@example.com"}),
        await key.ask("PATCH", f"/users/{admin.id}", json={"email": "elsewhere@example.com"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await key.ask("POST", "/users/", json=new)).status_code == 201
    assert (await key.ask("PATCH", f"/users/{user.id}", json={"role": "user"})).status_code == 200
