"""Register and log in, as the book's document shows."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest

from lib.ids import DEFAULT_TEAM_ID
from tests.fixtures.web import JWT_KEY, PASSWORD, Deploy, Deployment, Rows


def someone(**changes: str) -> dict[str, str]:
    return {"email": f"user-{uuid4().hex}@example.com", "password": PASSWORD} | changes


async def test_registering_answers_with_the_account(parley: Deployment) -> None:
    account = someone()
    response = await parley.client.post("/api/v1/auth/register", json=account)
    body = response.json()
    assert response.status_code == 201
    assert set(body) >= {"id", "email", "created_at"}
    assert UUID(body["id"]).version == 7
    assert body["email"] == account["email"]
    assert datetime.fromisoformat(body["created_at"]).utcoffset() is not None


async def test_logging_in_answers_with_the_user_and_sets_a_cookie_that_scripts_cannot_read(parley: Deployment) -> None:
    account = someone()
    registered = (await parley.client.post("/api/v1/auth/register", json=account)).json()
    response = await parley.client.post("/api/v1/auth/login", json=account)
    body = {"message": "Login successful", "user_id": registered["id"], "email": registered["email"]}
    assert response.json() == body | {"expires_in": 900}
    lifetimes = {"access_token": "900", "refresh_token": str(30 * 24 * 3600)}
    for cookie, (name, lifetime) in zip(response.headers.get_list("set-cookie"), lifetimes.items(), strict=True):
        assert cookie.startswith(f"{name}=")
        flags = {part.strip() for part in cookie.split(";")[1:]}
        assert flags == {"HttpOnly", f"Max-Age={lifetime}", "Path=/", "SameSite=strict"}


async def test_the_token_says_who_and_for_how_long(parley: Deployment) -> None:
    account = await parley.sign_up()
    token = parley.client.cookies["access_token"]
    claims = jwt.decode(token, JWT_KEY, algorithms=["HS256"], audience="parley", issuer="parley")
    assert (claims["sub"], claims["team"], claims["role"]) == (str(account), str(DEFAULT_TEAM_ID), "user")
    assert claims["exp"] - claims["iat"] == 15 * 60


async def test_a_bearer_token_serves_as_the_cookie_does(deploy: Deploy, rows: Rows) -> None:
    browser, program = await deploy(), await deploy()
    account = await browser.sign_up()
    program.client.headers["Authorization"] = f"Bearer {browser.client.cookies['access_token']}"
    answer = (await program.ask()).json()["response"]
    (row,) = await rows("SELECT user_id FROM conversations WHERE id = %s", UUID(answer["conversation_id"]))
    assert str(row["user_id"]) == str(account)


async def test_no_redirect_is_built_from_the_host_that_a_caller_names(parley: Deployment) -> None:
    response = await parley.client.post("/api/v1/auth/login/", json=someone(), headers={"Host": "evil.example"})
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_in_production_the_cookie_is_bound_to_the_host_and_to_tls(deploy: Deploy) -> None:
    parley = await deploy(environment="production", guest_chat=False)
    account = someone()
    await parley.client.post("/api/v1/auth/register", json=account)
    cookie = (await parley.client.post("/api/v1/auth/login", json=account)).headers["set-cookie"]
    assert cookie.startswith("__Host-access_token=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize("spelling", ["{}", " {} ", "{}\n"])
async def test_an_address_is_one_account_however_it_is_spelled(parley: Deployment, spelling: str) -> None:
    account = someone()
    assert (await parley.client.post("/api/v1/auth/register", json=account)).status_code == 201
    again = account | {"email": spelling.format(account["email"].upper())}
    taken = await parley.client.post("/api/v1/auth/register", json=again)
    assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")
    assert (await parley.client.post("/api/v1/auth/login", json=again)).status_code == 200


async def test_a_wrong_password_an_unknown_address_and_an_inactive_account_look_the_same(
    parley: Deployment, rows: Rows
) -> None:
    active, inactive = someone(), someone()
    for account in (active, inactive):
        await parley.client.post("/api/v1/auth/register", json=account)
    await rows("UPDATE users SET is_active = false WHERE email = %s", inactive["email"])
    refusals: list[Any] = []
    for account in (active | {"password": "wrong-password"}, someone(), inactive):
        response = await parley.client.post("/api/v1/auth/login", json=account)
        refusals.append((response.status_code, response.json()["code"], response.json()["detail"]))
    assert refusals == [(401, "invalid_credentials", "The email or the password is wrong.")] * 3


async def test_an_address_in_two_teams_needs_the_team_when_the_password_fits_both(
    parley: Deployment, rows: Rows
) -> None:
    account = someone()
    await parley.client.post("/api/v1/auth/register", json=account)
    slug = f"team-{uuid4().hex[:8]}"
    await rows("INSERT INTO teams (name, slug) VALUES (%s, %s)", "Second", slug)
    await rows(
        "INSERT INTO users (id, team_id, email, password_hash)"
        " SELECT gen_random_uuid(), teams.id, email, password_hash FROM users, teams"
        " WHERE email = %s AND slug = %s",
        account["email"],
        slug,
    )
    ambiguous = await parley.client.post("/api/v1/auth/login", json=account)
    assert (ambiguous.status_code, ambiguous.json()["code"]) == (409, "team_required")
    (second,) = await rows("SELECT u.id FROM users u JOIN teams t ON t.id = u.team_id WHERE t.slug = %s", slug)
    settled = await parley.client.post("/api/v1/auth/login", json=account | {"team": slug})
    assert settled.json()["user_id"] == str(second["id"])


@pytest.mark.parametrize("password", ["päßwörd-ẞ", "a\0b" * 10, "🔑" * 40, "x" * 128])
async def test_any_password_counts_whole(parley: Deployment, password: str) -> None:
    account = someone(password=password)
    assert (await parley.client.post("/api/v1/auth/register", json=account)).status_code == 201
    assert (await parley.client.post("/api/v1/auth/login", json=account)).status_code == 200
    shorter = account | {"password": password[:-1]}
    assert (await parley.client.post("/api/v1/auth/login", json=shorter)).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "nobody"},
        {"email": "a@b"},
        {"email": "x" * 300 + "@example.com"},
        {"email": "a\0@example.com"},
        {"password": "short"},
        {"password": "x" * 129},
        {"email": "\ud800@example.com"},
        {"password": "\ud800" * 10},
        {"role": "admin"},
        {"is_active": "true"},
    ],
)
async def test_a_registration_that_cannot_be_is_refused_and_nothing_of_it_repeated(
    parley: Deployment, changes: dict[str, str]
) -> None:
    response = await parley.client.post(
        "/api/v1/auth/register", content=json.dumps(someone(**changes)), headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert PASSWORD not in response.text
    assert "xxxx" not in response.text
