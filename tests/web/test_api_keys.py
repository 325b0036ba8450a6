"""API keys, over HTTP."""

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from lib.store.api_keys import MOST_KEYS
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.people import Asker, kinds, someone
from tests.fixtures.web import Deploy, Deployment, Rows, question

KEYS = "/auth/api-keys"


@pytest.fixture
async def user(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, team_id=team_id)


@pytest.fixture
async def admin(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, "admin", team_id=team_id)


def wanted(*scopes: str, **more: Any) -> dict[str, Any]:
    return {"name": "Nightly export", "scopes": scopes or ("read",), **more}


async def make(asker: Asker, *scopes: str, **more: Any) -> dict[str, Any]:
    made = await asker.ask("POST", KEYS, json=wanted(*scopes, **more))
    assert made.status_code == 201, made.text
    return made.json()


def with_key(user: Asker, key: str) -> Asker:
    return Asker(user.url, user.id, {"Authorization": f"Bearer {key}"})


async def test_a_key_is_shown_once_and_kept_as_a_hash(user: Asker, rows: Rows) -> None:
    made = await make(user, "read", "chat")
    key, key_id = made["key"], UUID(made["id"])
    assert key.startswith(f"{made['prefix']}_")
    assert made["prefix"] == "parley_" + urlsafe_b64encode(key_id.bytes).decode().rstrip("=")
    assert len(key) == len("parley_") + 22 + 1 + 43
    (listed,) = (await user.ask("GET", KEYS)).json()
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert (listed["scopes"], listed["name"]) == (["chat", "read"], "Nightly export")
    (kept,) = await rows("SELECT * FROM api_keys WHERE id = %s", key_id)
    assert kept["secret_hash"] == hashlib.sha256(key.encode()).digest()
    secret = key.removeprefix(f"{made['prefix']}_")
    for table in ("api_keys", "security_events"):
        everything = await rows(f"SELECT * FROM {table} WHERE team_id = %s", kept["team_id"])  # noqa: S608
        assert secret not in str(everything)


async def test_a_key_serves_as_its_owner_in_a_header_and_in_no_cookie(user: Asker) -> None:
    made = await make(user, "read")
    me = await with_key(user, made["key"]).ask("GET", "/auth/me")
    assert me.json()["id"] == str(user.id)
    (listed,) = (await user.ask("GET", KEYS)).json()
    assert datetime.fromisoformat(listed["last_used_at"]) > datetime.now(UTC) - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", KEYS, wanted()),
        ("GET", KEYS, None),
        ("DELETE", f"{KEYS}/0b2f4a55-8c1d-4f6e-9a37-5d1c0e7b9f42", None),
        ("PATCH", "/auth/me", {"full_name": "A program"}),
        ("DELETE", "/auth/me/avatar", None),
    ],
)
async def test_no_key_makes_keys_nor_is_a_person(admin: Asker, method: str, path: str, body: Any) -> None:
    program = await admin.key("chat", "read", "admin")
    refused = await program.ask(method, path, json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_a_guest_makes_no_keys(parley: Deployment) -> None:
    for method, path in (("POST", KEYS), ("GET", KEYS), ("DELETE", f"{KEYS}/{uuid4()}")):
        refused = await Asker(parley.url).ask(method, path, json=wanted())
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("scope", "may_chat", "may_read", "may_administer"),
    [("chat", True, False, False), ("read", False, True, False), ("admin", False, False, True)],
)
async def test_a_key_may_do_what_its_scope_says_and_no_more(
    admin: Asker, scope: Any, may_chat: bool, may_read: bool, may_administer: bool
) -> None:
    program = await admin.key(scope)
    asked = (
        (may_chat, await program.ask("POST", "/api/v1/chat", json=question("What is Parley?"))),
        (may_read, await program.ask("GET", "/auth/me")),
        (may_read or may_administer, await program.ask("GET", f"/users/{admin.id}")),
        (may_administer, await program.ask("GET", "/users/")),
        (may_administer, await program.ask("GET", "/metrics/users")),
    )
    for allowed, answer in asked:
        assert (answer.status_code == 200) is allowed, (answer.request.url, answer.text)
        assert allowed or answer.json()["code"] == "scope_missing"


async def test_only_an_admin_grants_admin(user: Asker, admin: Asker, rows: Rows) -> None:
    refused = await user.ask("POST", KEYS, json=wanted("read", "admin"))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert await rows("SELECT id FROM api_keys WHERE user_id = %s", user.id) == []
    assert (await make(admin, "admin"))["scopes"] == ["admin"]


async def test_an_admins_key_is_an_admins_while_its_owner_is_one(parley: Deployment, admin: Asker) -> None:
    colleague = await someone(parley, "admin", team_id=UUID((await admin.ask("GET", "/auth/me")).json()["team_id"]))
    program = await colleague.key("admin", "read")
    for role, status in (("admin", 200), ("user", 403), ("admin", 200)):
        assert (await admin.ask("PATCH", f"/users/{colleague.id}", json={"role": role})).status_code == 200
        assert (await program.ask("GET", "/users/")).status_code == status
        assert (await program.ask("GET", "/auth/me")).status_code == 200


async def test_a_revoked_key_is_refused_at_once_on_every_instance(deploy: Deploy, user: Asker, rows: Rows) -> None:
    other = await deploy()
    made = await make(user, "read", "chat")
    program = with_key(user, made["key"])
    for asker in (program, program.at(other)):
        assert (await asker.ask("GET", "/auth/me")).status_code == 200  # known to both from here on
    assert (await user.ask("DELETE", f"{KEYS}/{made['id']}")).status_code == 204
    for asker in (program, program.at(other), program.at(await deploy())):
        refused = await asker.ask("GET", "/auth/me")
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        chat = await asker.ask("POST", "/api/v1/chat", json=question("What is Parley?"))
        assert (chat.status_code, chat.json()["code"]) == (401, "unauthenticated")
    assert (await user.ask("GET", KEYS)).json() == []
    again = await user.ask("DELETE", f"{KEYS}/{made['id']}")
    assert (again.status_code, again.json()["code"]) == (404, "not_found")
    assert (await kinds(rows, user.id))[-2:] == ["key_made", "key_revoked"]


async def test_a_key_of_a_team_that_was_switched_off_is_refused(user: Asker, team_id: UUID, rows: Rows) -> None:
    program = await user.key("read")
    assert (await program.ask("GET", "/auth/me")).status_code == 200
    await rows("UPDATE teams SET is_active = false WHERE id = %s", team_id)
    assert (await program.ask("GET", "/auth/me")).status_code == 401


async def test_nobody_revokes_the_key_of_another(parley: Deployment, user: Asker, admin: Asker, rows: Rows) -> None:
    made = await make(user)
    for stranger in (await someone(parley), admin):
        refused = await stranger.ask("DELETE", f"{KEYS}/{made['id']}")
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    (kept,) = await rows("SELECT revoked_at FROM api_keys WHERE id = %s", made["id"])
    assert kept["revoked_at"] is None


async def test_a_key_that_is_not_exactly_right_is_nobodys(user: Asker) -> None:
    key = (await make(user))["key"]
    prefix, secret = key[: -43 - 1], key[-43:]
    other_letter = "A" if secret[0] != "A" else "B"
    twin = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = twin.index(prefix[-1])
    respelled = prefix[:-1] + twin[last - last % 16 + (last + 1) % 16]  # the same 16 bytes to a lenient reader
    for wrong in (
        f"{prefix}_{other_letter}{secret[1:]}",
        f"{prefix}_{'A' * 43}",
        f"{respelled}_{secret}",
        f"parley_{'A' * 22}_{secret}",
        f"{key}A",
        key[:-1],
        f"{prefix}_",
        "parley_",
        key.upper(),
        f"{key}é",
    ):
        refused = await with_key(user, "").ask(
            "GET", "/auth/me", headers={"Authorization": f"Bearer {wrong}".encode("latin-1")}
        )
        assert (wrong, refused.status_code, refused.json()["code"]) == (wrong, 401, "unauthenticated")


# Expiry


async def test_a_key_lasts_a_year_unless_its_maker_says_otherwise(user: Asker) -> None:
    now = datetime.now(UTC)

    async def days(**more: Any) -> int | None:
        expires_at = (await make(user, **more))["expires_at"]
        return None if expires_at is None else round((datetime.fromisoformat(expires_at) - now) / timedelta(days=1))

    assert await days() == 365
    assert await days(expires_in_days=7) == 7
    assert await days(expires_at=(now + timedelta(days=30)).isoformat()) == 30
    assert await days(expires_at=None) is None


async def test_an_expired_key_is_refused_where_it_is_known_and_where_it_is_not(
    deploy: Deploy, user: Asker, rows: Rows
) -> None:
    other = await deploy()
    soon = datetime.now(UTC) + timedelta(seconds=1)
    made = await make(user, expires_at=soon.isoformat())
    program = with_key(user, made["key"])
    assert (await program.ask("GET", "/auth/me")).status_code == 200
    await asyncio.sleep((soon - datetime.now(UTC)).total_seconds())
    for asker in (program, program.at(other)):
        assert (await asker.ask("GET", "/auth/me")).status_code == 401
    (listed,) = (await user.ask("GET", KEYS)).json()
    assert listed["id"] == made["id"]  # an expired key is listed until it is revoked


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\0b"},
        {"scopes": []},
        {"scopes": ["write"]},
        {"scopes": "read"},
        {"expires_in_days": 0},
        {"expires_in_days": 3651},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2090-01-01T00:00:00"},
        {"expires_at": "2090-01-01T00:00:00Z", "expires_in_days": 7},
        {"user_id": str(uuid4())},
        {"key": "parley_mine"},
    ],
)
async def test_a_key_that_cannot_be_is_refused(user: Asker, wrong: dict[str, Any]) -> None:
    refused = await user.ask("POST", KEYS, json=wanted() | wrong)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


# Many, and away


async def test_an_account_has_fifty_keys_at_most(user: Asker, team_id: UUID, rows: Rows) -> None:
    await rows(
        "INSERT INTO api_keys (id, team_id, user_id, name, scopes, secret_hash)"
        " SELECT gen_random_uuid(), %s, %s, 'Old', ARRAY['read'], '' FROM generate_series(2, %s)",
        *(team_id, user.id, MOST_KEYS),
    )
    made = await make(user)
    refused = await user.ask("POST", KEYS, json=wanted())
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_keys")
    assert (await user.ask("DELETE", f"{KEYS}/{made['id']}")).status_code == 204
    await make(user)


async def test_a_key_that_is_known_still_chats_while_the_database_is_away(
    deploy: Deploy, user: Asker, proxy: PostgresProxy
) -> None:
    away = await deploy(DATABASE_URL=proxy.url)
    program = (await user.key("chat")).at(away)
    assert (await program.ask("POST", "/api/v1/chat", json=question("Hello?"))).json()["response"]["saved"] is True
    proxy.refuse()
    answer = await program.ask("POST", "/api/v1/chat", json=question("Are you there?"))
    assert (answer.status_code, answer.json()["response"]["saved"]) == (200, False)
    stranger = with_key(program, f"parley_{'A' * 22}_{'B' * 43}")
    refused = await stranger.ask("POST", "/api/v1/chat", json=question("And me?"))
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
