"""Sessions over HTTP: refresh, its reuse, signing out here and everywhere."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from lib.db.events import NO_CLIENT
from lib.errors import InvalidCredentials
from lib.ids import DEFAULT_TEAM_ID
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.web import PASSWORD, Deploy, Deployment, Rows


async def sign_in(parley: Deployment) -> dict[str, Any]:
    """Make a user who is signed in, and return their tokens, which the browser forgets."""
    user_id = await parley.sign_up()
    cookies = dict(parley.client.cookies)
    parley.client.cookies.clear()
    return {**cookies, "user_id": str(user_id)}


async def refresh(parley: Deployment, token: str) -> httpx.Response:
    return await parley.client.post("/auth/refresh", json={"refresh_token": token})


async def works(parley: Deployment, tokens: dict[str, Any]) -> bool:
    return (await me(parley, tokens)).status_code == 200


async def me(parley: Deployment, tokens: dict[str, Any]) -> httpx.Response:
    return await parley.client.get("/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})


async def age(rows: Rows, tokens: dict[str, Any], by: timedelta) -> None:
    """Let the last refresh have been longer ago."""
    await rows("UPDATE sessions SET rotated_at = rotated_at - %s WHERE user_id = %s", by, UUID(tokens["user_id"]))


def refused(response: httpx.Response) -> bool:
    return (response.status_code, response.json()["code"]) == (401, "refresh_invalid")


LATER = timedelta(seconds=11)


async def test_a_refresh_gives_new_tokens_and_the_new_ones_work(parley: Deployment) -> None:
    first = await sign_in(parley)
    second = (await refresh(parley, first["refresh_token"])).json()
    third = (await refresh(parley, second["refresh_token"])).json()
    assert len({tokens["refresh_token"] for tokens in (first, second, third)}) == 3
    assert second["token_type"] == "bearer"
    assert second["expires_in"] == 900
    assert await works(parley, third)


async def test_malicious_reuse_of_a_spent_token_ends_the_session_for_whoever_holds_it(
    parley: Deployment, rows: Rows
) -> None:
    stolen = await sign_in(parley)
    owners = (await refresh(parley, stolen["refresh_token"])).json()
    await age(rows, stolen, LATER)
    assert refused(await refresh(parley, stolen["refresh_token"]))
    assert refused(await refresh(parley, owners["refresh_token"]))
    assert not await works(parley, owners)
    events = await rows("SELECT kind FROM security_events WHERE user_id = %s ORDER BY id", UUID(stolen["user_id"]))
    assert [event["kind"] for event in events][-1] == "refresh_reused"


async def test_a_token_two_exchanges_old_ends_the_session_also_at_once(parley: Deployment) -> None:
    first = await sign_in(parley)
    second = (await refresh(parley, first["refresh_token"])).json()
    third = (await refresh(parley, second["refresh_token"])).json()
    assert refused(await refresh(parley, first["refresh_token"]))
    assert refused(await refresh(parley, third["refresh_token"]))


async def test_concurrent_refreshes_get_one_successor_and_both_go_on(deploy: Deploy) -> None:
    one, other = await deploy(), await deploy()
    tokens = await sign_in(one)
    answers = await asyncio.gather(*(refresh(each, tokens["refresh_token"]) for each in (one, other) * 10))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert (await refresh(one, answers[0].json()["refresh_token"])).status_code == 200


async def test_a_client_that_lost_the_answer_asks_again_and_gets_the_same(parley: Deployment, rows: Rows) -> None:
    tokens = await sign_in(parley)
    lost = (await refresh(parley, tokens["refresh_token"])).json()
    again = (await refresh(parley, tokens["refresh_token"])).json()
    assert again["refresh_token"] == lost["refresh_token"]
    await age(rows, tokens, LATER)
    assert refused(await refresh(parley, tokens["refresh_token"]))


async def test_a_refresh_that_could_not_be_saved_may_be_tried_again(deploy: Deploy, proxy: PostgresProxy) -> None:
    parley, away = await deploy(), await deploy(DATABASE_URL=proxy.url)
    tokens = await sign_in(parley)
    proxy.refuse()
    answer = await refresh(away, tokens["refresh_token"])
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert (await refresh(parley, tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    "ending",
    [
        "UPDATE sessions SET revoked_at = now() WHERE user_id = %s",
        "UPDATE sessions SET expires_at = now() WHERE user_id = %s",
        "UPDATE users SET is_active = false WHERE id = %s",
        "DELETE FROM users WHERE id = %s",
    ],
)
async def test_revocation_ends_both_tokens_at_once(parley: Deployment, rows: Rows, ending: str) -> None:
    tokens = await sign_in(parley)
    await rows(ending, UUID(tokens["user_id"]))
    assert refused(await refresh(parley, tokens["refresh_token"]))
    answer = await me(parley, tokens)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("spoil", ["x{}", "{}x", "{}.1", "", ".", "..", "a.b.c", "é.0.é", "{}\n"])
async def test_a_token_that_never_was_is_refused_and_ends_nothing(parley: Deployment, spoil: str) -> None:
    tokens = await sign_in(parley)
    assert refused(await refresh(parley, spoil.format(tokens["refresh_token"])))
    session, _, proof = tokens["refresh_token"].split(".")
    assert refused(await refresh(parley, f"{session}.1.{proof}"))
    assert (await refresh(parley, tokens["refresh_token"])).status_code == 200


async def test_a_password_that_is_changed_while_somebody_signs_in_with_it_begins_no_session(
    parley: Deployment, rows: Rows
) -> None:
    user_id = await parley.sign_up()
    await rows("UPDATE users SET password_hash = 'new' WHERE id = %s", user_id)
    for shown in ("old", None):
        with pytest.raises(InvalidCredentials):
            await parley.instance.sessions.begin(
                user_id=user_id,
                team_id=DEFAULT_TEAM_ID,
                role="user",
                method="password",
                client=NO_CLIENT,
                password_hash=shown,
            )


async def test_an_access_token_refreshes_nothing_and_a_refresh_token_opens_nothing(parley: Deployment) -> None:
    tokens = await sign_in(parley)
    assert refused(await refresh(parley, tokens["access_token"]))
    assert (await me(parley, {"access_token": tokens["refresh_token"]})).status_code == 401


async def test_a_refresh_says_the_role_of_today(parley: Deployment, rows: Rows) -> None:
    tokens = await sign_in(parley)
    await rows("UPDATE users SET role = 'admin' WHERE id = %s", UUID(tokens["user_id"]))
    fresh = (await refresh(parley, tokens["refresh_token"])).json()
    assert parley.instance.signer.read(fresh["access_token"]).role == "admin"


async def test_logging_out_ends_the_session_and_takes_the_cookies_back(parley: Deployment) -> None:
    account = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    await parley.client.post("/api/auth/register", json=account)
    await parley.client.post("/api/auth/login", json=account)
    access, token = parley.client.cookies["access_token"], parley.client.cookies["refresh_token"]
    answer = await parley.client.post("/api/auth/logout")
    assert answer.status_code == 200
    assert not parley.client.cookies
    assert not await works(parley, {"access_token": access})
    assert refused(await refresh(parley, token))
    assert (await parley.client.post("/api/auth/logout")).status_code == 200


async def test_whoever_has_only_the_refresh_token_left_may_log_out(parley: Deployment) -> None:
    tokens = await sign_in(parley)
    await parley.client.post("/auth/logout", json={"refresh_token": tokens["refresh_token"]})
    assert not await works(parley, tokens)


async def test_one_sees_where_one_is_signed_in_and_signs_out_there(parley: Deployment) -> None:
    account = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    await parley.client.post("/auth/register", json=account)
    phone = (await parley.client.post("/auth/login", json=account, headers={"User-Agent": "A phone"})).json()
    bearer = {"Authorization": f"Bearer {phone['access_token']}"}
    (session,) = (await parley.client.get("/auth/sessions", headers=bearer)).json()
    assert (session["device"], session["address"], session["current"]) == ("A phone", "127.0.0.1", True)
    stranger = await sign_in(parley)
    as_stranger = {"Authorization": f"Bearer {stranger['access_token']}"}
    path = f"/auth/sessions/{session['id']}"
    assert (await parley.client.delete(path, headers=as_stranger)).status_code == 404
    assert await works(parley, phone)
    assert (await parley.client.delete(path, headers=bearer)).json() == {"ended": 1}
    assert not await works(parley, phone)


@pytest.mark.parametrize("keep", [True, False])
async def test_signing_out_everywhere_ends_every_session_but_anothers(parley: Deployment, keep: bool) -> None:
    account = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    await parley.client.post("/auth/register", json=account)
    mine = [(await parley.client.post("/auth/login", json=account)).json() for _ in range(3)]
    stranger = await sign_in(parley)
    answer = await parley.client.delete(
        "/auth/sessions",
        params={"keep_current": keep},
        headers={"Authorization": f"Bearer {mine[0]['access_token']}"},
    )
    assert answer.json() == {"ended": 2 if keep else 3}
    assert [await works(parley, tokens) for tokens in (*mine, stranger)] == [keep, False, False, True]


async def test_a_signed_in_request_costs_no_round_trip_beyond_its_own_work(
    deploy: Deploy, proxy: PostgresProxy
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    tokens = await sign_in(parley)
    proxy.messages = 0
    assert await works(parley, tokens)
    assert proxy.messages == 1
