"""Signing in, in every spelling of the five documents."""

import asyncio
import time
from base64 import b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import bcrypt
import httpx
import pytest

from lib.db.events import NO_CLIENT
from lib.db.tenant import EVERY_TEAM
from lib.errors import SetupDone
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.settings import SettingsInvalid
from lib.store import users
from lib.store.users import NewUser
from tests.fixtures.people import Found
from tests.fixtures.web import PASSWORD, Deploy, Deployment, Rows, make_settings, question

ORIGIN = "https://chat.example.com"


def someone(**changes: str) -> dict[str, str]:
    return {"email": f"{uuid4().hex}@example.com", "password": PASSWORD} | changes


async def register(parley: Deployment, **changes: str) -> dict[str, str]:
    account = someone(**changes)
    answer = await parley.client.post("/api/v1/auth/register", json=account)
    assert answer.status_code == 201, answer.text
    return {name: account[name] for name in ("email", "password")}


async def test_the_team_documents_register_login_and_me(parley: Deployment, found: Found) -> None:
    team_id, account = str(await found()), someone()
    registered = await parley.client.post(
        "/api/auth/register", json=account | {"full_name": "John Doe", "team_id": team_id}
    )
    told = registered.json()
    assert (registered.status_code, told["team_id"], told["full_name"]) == (201, team_id, "John Doe")
    assert (told["role"], told["is_active"], told["email"]) == ("user", True, account["email"])
    login = await parley.client.post("/api/auth/login", json=account)
    assert (login.status_code, login.json()["message"]) == (200, "Login successful")
    assert set(parley.client.cookies) == {"access_token", "refresh_token"}
    me = (await parley.client.get("/api/auth/me")).json()
    shown = {"id", "team_id", "email", "full_name", "role", "avatar", "preferences", "is_active", "created_at"}
    assert {name: me[name] for name in shown} == told | {"avatar": None, "preferences": {}}
    assert me["last_login_at"] is not None


async def test_the_flow_documents_register_form_login_and_bearer(parley: Deployment) -> None:
    account = someone()
    registered = await parley.client.post("/auth/register", json=account | {"full_name": "John Doe"})
    assert registered.status_code == 201
    form = {"username": account["email"], "password": account["password"]}
    for more in ({}, {"grant_type": "password", "scope": "", "client_id": "", "client_secret": ""}):
        login = await parley.client.post("/auth/login", data=form | more)
        told = login.json()
        assert (login.status_code, told["token_type"], told["expires_in"]) == (200, "bearer", 900)
        assert not parley.client.cookies
        me = await parley.client.get("/auth/me", headers={"Authorization": f"Bearer {told['access_token']}"})
        assert me.json()["full_name"] == "John Doe"
    assert (await parley.client.post("/auth/login-json", json=account)).status_code == 200


async def test_the_private_documents_setup_login_and_refresh(deploy: Deploy, rows: Rows) -> None:
    parley = await deploy(setup_token="a-setup-token-of-the-tests-0123456789")
    first = someone() | {"full_name": "First Admin"}
    refused = await parley.client.post("/auth/setup", json=first)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    await rows("UPDATE teams SET settings = '{}' WHERE id = %s", DEFAULT_TEAM_ID)
    held = await rows(
        "UPDATE users SET role = 'user' WHERE team_id = %s AND role = 'admin' RETURNING id", DEFAULT_TEAM_ID
    )
    shown = {"X-Setup-Token": "a-setup-token-of-the-tests-0123456789"}
    answers = await asyncio.gather(
        *(parley.client.post("/auth/setup", json=first | someone(), headers=shown) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "setup_done"}
    made = next(answer.json() for answer in answers if answer.status_code == 201)
    assert (made["role"], made["full_name"], made["team_id"]) == ("admin", "First Admin", str(DEFAULT_TEAM_ID))
    for row in held:
        await rows("UPDATE users SET role = 'admin' WHERE id = %s", row["id"])


async def test_a_team_whose_first_administrator_is_one_no_more_is_not_set_up_again(
    parley: Deployment, rows: Rows, found: Found
) -> None:
    team_id = await found()

    async def set_up() -> UUID:
        new = NewUser(id=new_id(), team_id=team_id, email=someone()["email"], password_hash=None, role="admin")
        async with parley.instance.database.one_statement(EVERY_TEAM) as connection:
            await users.create(connection, new, client=NO_CLIENT, setup=True)
        return new.id

    first = await set_up()
    await rows("UPDATE users SET role = 'user' WHERE id = %s", first)
    with pytest.raises(SetupDone):
        await set_up()
    assert [row["id"] for row in await rows("SELECT id FROM users WHERE team_id = %s", team_id)] == [first]


async def test_setup_is_not_there_in_production_without_its_token(deploy: Deploy) -> None:
    parley = await deploy(environment="production", guest_chat=False)
    assert (await parley.client.post("/auth/setup", json=someone())).status_code == 404


async def test_without_a_team_the_five_oldest_accounts_of_an_address_are_tried(
    parley: Deployment, rows: Rows, found: Found
) -> None:
    account, teams = someone(), [await found() for _ in range(6)]
    for number, team_id in enumerate(teams):
        at_least_cost = bcrypt.hashpw(b64encode(sha256(f"password {number}".encode()).digest()), bcrypt.gensalt(4))
        await rows(
            "INSERT INTO users (id, team_id, email, password_hash) VALUES (%s, %s, %s, %s)",
            *(new_id(), team_id, account["email"], at_least_cost.decode()),
        )

    async def log_in(number: int, **more: str) -> tuple[int, str | None]:
        body = account | {"password": f"password {number}"} | more
        answer = await parley.client.post("/auth/login", json=body)
        return answer.status_code, answer.json().get("code")

    assert [await log_in(number) for number in (0, 4)] == [(200, None), (200, None)]
    assert await log_in(5) == (401, "invalid_credentials")
    assert await log_in(5, team=str(teams[5])) == (200, None)


async def test_the_files_documents_login_by_an_address_alone(deploy: Deploy, rows: Rows) -> None:
    parley = await deploy(email_only_login=True)
    email = someone()["email"]
    answers = await asyncio.gather(*(parley.client.post("/auth/login", json={"email": email}) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    told = answers[0].json()
    assert len({answer.json()["user_id"] for answer in answers}) == 1
    assert told["email"] == email
    (workspace,) = told["workspaces"]
    assert (workspace["name"], workspace["chats"]) == ("Default Workspace", [])
    conversation_id = uuid4()
    await rows(
        "INSERT INTO conversations (id, team_id, user_id, title, workspace_id) VALUES (%s, %s, %s, 'General Chat', %s)",
        conversation_id,
        DEFAULT_TEAM_ID,
        UUID(told["user_id"]),
        UUID(workspace["id"]),
    )
    again = (await parley.client.post("/auth/login", json={"email": email})).json()
    (chat,) = again["workspaces"][0]["chats"]
    assert again["workspaces"][0]["id"] == workspace["id"]
    assert (chat["id"], chat["name"], chat["num_versions"]) == (str(conversation_id), "General Chat", 0)
    assert "last_updated" in chat


async def test_an_address_alone_opens_no_account_that_has_a_password(deploy: Deploy) -> None:
    parley = await deploy(email_only_login=True)
    account = await register(parley)
    answer = await parley.client.post("/auth/login", json={"email": account["email"]})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    form = await parley.client.post("/auth/login", data={"username": account["email"]})
    assert form.status_code == 401


async def test_an_address_alone_is_told_no_more_of_a_team_that_is_off_than_a_password_is(
    deploy: Deploy, rows: Rows
) -> None:
    parley = await deploy(email_only_login=True)
    await rows("UPDATE teams SET is_active = false WHERE id = %s", DEFAULT_TEAM_ID)
    try:
        answers = [
            await parley.client.post("/auth/login", json=body) for body in (someone(), {"email": someone()["email"]})
        ]
    finally:
        await rows("UPDATE teams SET is_active = true WHERE id = %s", DEFAULT_TEAM_ID)
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")


async def test_an_address_alone_is_refused_unless_the_operator_says_so_and_production_never_does(
    parley: Deployment, database_url: str
) -> None:
    answer = await parley.client.post("/auth/login", json={"email": someone()["email"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "email_only_login_disabled")
    with pytest.raises((SettingsInvalid, ValueError), match="EMAIL_ONLY_LOGIN"):
        make_settings(database_url, "http://127.0.0.1:9/v1", environment="production", email_only_login=True)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("", "application/json"),
        ("[]", "application/json"),
        ("{", "application/json"),
        ('{"email": 1}', "application/json"),
        ('{"email": "a@example.com", "password": null, "role": "admin"}', "application/json"),
        ("username=a%00@example.com&password=x", "application/x-www-form-urlencoded"),
        ("password=x", "application/x-www-form-urlencoded"),
        ("username=a@example.com&password=x&role=admin", "application/x-www-form-urlencoded"),
        (urlencode({f"f{n}": "x" for n in range(50)}), "application/x-www-form-urlencoded"),
        ("--x\r\nnot a part", "multipart/form-data; boundary=x"),
        ("x", "multipart/form-data"),
        ("\xff\xfe", "application/json"),
        ("email=a@example.com", "text/plain"),
    ],
)
async def test_what_is_no_login_is_refused_in_words(parley: Deployment, content: str, kind: str) -> None:
    answer = await parley.client.post("/auth/login", content=content.encode("latin-1"), headers={"Content-Type": kind})
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["code"] == "invalid_request"


FORM = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'


@pytest.mark.parametrize("charset", ["undefined", "punycode", '"PunyCode"', "idna", "hex", "utf-16", "x", ""])
async def test_a_form_in_another_charset_is_refused_unread(parley: Deployment, charset: str) -> None:
    form = FORM.format("username", f"{'a' * 100_000}-{'a' * 100_000}") + FORM.format("password", "x") + "--x--\r\n"
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    began = time.perf_counter()
    for method, path in (("POST", "/auth/login"), ("PUT", "/auth/me/avatar"), ("POST", "/auth/me/avatar")):
        answer = await parley.client.request(method, path, content=form, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), answer.text
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("charset", ["", "; charset=UTF-8", '; charset="utf8"'])
async def test_a_form_of_parts_signs_in(parley: Deployment, charset: str) -> None:
    account = await register(parley)
    form = FORM.format("username", account["email"]) + FORM.format("password", account["password"]) + "--x--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary=x{charset}"}
    assert (await parley.client.post("/auth/login", content=form, headers=headers)).status_code == 200


async def test_nobody_registers_into_a_team_that_is_not_there_or_is_off(
    parley: Deployment, rows: Rows, found: Found
) -> None:
    team_id = await found()
    await rows("UPDATE teams SET is_active = false WHERE id = %s", team_id)
    for wanted in (str(team_id), str(uuid4())):
        answer = await parley.client.post("/api/auth/register", json=someone(team_id=wanted))
        assert (answer.status_code, answer.json()["code"]) == (404, "team_not_found")


@pytest.mark.parametrize("prefix", ["/api/v1/auth", "/api/auth"])
async def test_under_api_no_token_is_in_a_body_where_a_script_could_read_it(parley: Deployment, prefix: str) -> None:
    account = await register(parley)
    for path, body in ((f"{prefix}/login", account), (f"{prefix}/refresh", {})):
        answer = await parley.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        assert not [name for name in answer.json() if "token" in name]
        assert answer.json()["expires_in"] == 900
        assert parley.client.cookies["access_token"] not in answer.text
        assert parley.client.cookies["refresh_token"] not in answer.text


async def test_a_cookie_is_exchanged_for_no_token_in_a_body(parley: Deployment) -> None:
    account = await register(parley)
    await parley.client.post("/api/auth/login", json=account)
    answer = await parley.client.post("/auth/refresh", json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "refresh_invalid")


async def test_in_production_both_cookies_are_bound_to_the_host_and_to_tls(deploy: Deploy) -> None:
    parley = await deploy(environment="production", guest_chat=False)
    account = await register(parley)
    login = await parley.client.post("/api/auth/login", json=account)
    logout = await parley.client.post("/api/auth/logout")
    for answer in (login, logout):
        cookies = answer.headers.get_list("set-cookie")
        assert [cookie.split("=")[0] for cookie in cookies] == ["__Host-access_token", "__Host-refresh_token"]
        for cookie in cookies:
            flags = {part.strip().split("=")[0] for part in cookie.split(";")[1:]}
            assert flags == {"HttpOnly", "Max-Age", "Path", "SameSite", "Secure"}
            assert "Path=/;" in cookie
            assert "SameSite=strict" in cookie


async def test_in_production_a_cookie_without_the_host_prefix_is_none(deploy: Deploy) -> None:
    parley = await deploy(environment="production", guest_chat=False)
    account = await register(parley)
    token = (await parley.client.post("/auth/login", json=account)).json()["access_token"]
    for name, status in (("access_token", 401), ("__Host-access_token", 200)):
        assert (await parley.client.get("/auth/me", headers={"Cookie": f"{name}={token}"})).status_code == status


PAGES: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"Origin": ORIGIN}, True),
    ({"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, True),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Origin": "https://evil.example"}, False),
    ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
    ({"Origin": f"{ORIGIN}.evil.example"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "same-site", "Origin": "https://sister.example.com"}, False),
]


@pytest.mark.parametrize(("page", "may"), PAGES)
async def test_a_page_of_another_origin_does_nothing_with_a_browsers_cookies(
    deploy: Deploy, page: dict[str, str], may: bool
) -> None:
    parley = await deploy(allowed_origins=(ORIGIN,))
    await parley.sign_up()
    path = "/api/v1/auth/sessions?keep_current=true"
    answer = await parley.client.delete(path, headers=page)
    assert answer.status_code == (200 if may else 403)
    if not may:
        assert answer.json()["code"] == "origin_refused"
    assert (await parley.client.get("/api/v1/auth/me", headers=page)).status_code == 200


@pytest.mark.parametrize("path", ["/api/auth/login", "/api/auth/logout", "/api/auth/refresh"])
async def test_a_page_of_another_origin_signs_nobody_in_or_out(parley: Deployment, path: str) -> None:
    account = await register(parley)
    body = account if path.endswith("login") else {}
    answer = await parley.client.post(path, json=body, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "origin_refused")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://x]", "http://[x]:y", "://", "//", "http://", ""])
async def test_what_is_no_origin_is_refused_as_another_is(parley: Deployment, origin: str) -> None:
    await parley.sign_up()
    signed_in = await parley.client.post("/api/auth/logout", headers={"Origin": origin})
    login = await parley.client.post("/api/auth/login", json=someone(), headers={"Origin": origin})
    for answer in (signed_in, login):
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_refused")


async def test_a_page_of_our_own_host_may_where_no_proxy_hides_it(parley: Deployment) -> None:
    await parley.sign_up()
    answer = await parley.client.post("/api/auth/logout", headers={"Origin": parley.url})
    assert answer.status_code == 200


async def test_a_bearer_token_may_come_from_any_page_since_no_browser_adds_it(parley: Deployment) -> None:
    await parley.sign_up()
    token = parley.client.cookies["access_token"]
    answer = await _delete_sessions(parley.url, {"Authorization": f"Bearer {token}", "Origin": "https://evil.example"})
    assert answer.status_code == 200


async def _delete_sessions(url: str, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        return await client.delete("/auth/sessions")


async def test_a_refused_login_is_noted_without_what_was_typed(parley: Deployment, rows: Rows) -> None:
    account = await register(parley)
    typed: dict[str, Any] = account | {"password": "not-the-password"}
    await parley.client.post("/auth/login", json=typed, headers={"User-Agent": "A browser"})
    event = (
        await rows(
            "SELECT e.* FROM security_events e JOIN users u ON u.id = e.user_id WHERE u.email = %s ORDER BY e.id",
            account["email"],
        )
    )[-1]
    assert (event["kind"], event["detail"], event["device"], event["address"]) == (
        "login_refused",
        {"reason": "wrong_password"},
        "A browser",
        "127.0.0.1",
    )


@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/chat/stream"])
async def test_a_browser_whose_access_token_ran_out_is_no_guest(parley: Deployment, rows: Rows, path: str) -> None:
    user_id = await parley.sign_up()
    parley.client.cookies.delete("access_token")
    refused = await parley.client.post(path, json=question("Whose?"))
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert (await parley.client.post("/api/auth/refresh")).status_code == 200
    assert (await parley.client.post(path, json=question("Whose?"))).status_code == 200
    assert len(await rows("SELECT id FROM conversations WHERE user_id = %s", user_id)) == 1


@pytest.mark.parametrize("team", ["", "DEFAULT", "default", str(DEFAULT_TEAM_ID).upper()])
async def test_a_team_may_be_left_empty_or_spelled_in_capitals(parley: Deployment, team: str) -> None:
    account = await register(parley)
    assert (await parley.client.post("/auth/login", json=account | {"team": team})).status_code == 200


async def test_a_body_without_its_content_type_is_refused_in_words_that_help(parley: Deployment) -> None:
    answer = await parley.client.post("/auth/register", content='{"email": "a@example.com"}')
    (fault,) = answer.json()["detail"]
    assert (answer.status_code, "Content-Type: application/json" in fault["msg"]) == (422, True)


@pytest.mark.parametrize("path", ["/auth/refresh", "/api/auth/refresh"])
async def test_a_refresh_without_a_token_says_what_is_missing(parley: Deployment, path: str) -> None:
    answer = await parley.client.post(path, json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "refresh_invalid")
    assert "no refresh token" in answer.json()["detail"]
