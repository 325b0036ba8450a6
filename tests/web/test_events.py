"""Security events, over HTTP."""

from uuid import UUID, uuid4

import pytest

from tests.fixtures.people import Asker, Found, someone
from tests.fixtures.web import INTERNAL_KEY, PASSWORD, Deployment, Rows

EVENTS = "/auth/events"


@pytest.fixture
async def admin(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, "admin", team_id=team_id)


@pytest.fixture
async def user(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, team_id=team_id)


async def accounts(asker: Asker, **query: object) -> set[str | None]:
    """Return whose accounts the events are about that somebody sees."""
    answer = await asker.ask("GET", EVENTS, params={"limit": 200, **query})
    assert answer.status_code == 200, answer.text
    return {event["user_id"] for event in answer.json()}


async def test_an_admin_sees_the_teams_events_and_a_user_their_own(
    parley: Deployment, admin: Asker, user: Asker, found: Found
) -> None:
    stranger = await someone(parley, "admin", team_id=await found())
    assert await accounts(admin) == {str(admin.id), str(user.id)}
    assert await accounts(user) == {str(user.id)}
    assert await accounts(stranger) == {str(stranger.id)}
    assert await accounts(admin, user_id=user.id) == {str(user.id)}
    assert await accounts(stranger, user_id=user.id) == set()
    assert await accounts(user, user_id=user.id) == {str(user.id)}
    refused = await user.ask("GET", EVENTS, params={"user_id": str(admin.id)})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


async def test_whoever_is_demoted_or_promoted_sees_what_they_may_at_once(
    parley: Deployment, admin: Asker, user: Asker, team_id: UUID
) -> None:
    colleague = await someone(parley, "admin", team_id=team_id)
    program = await colleague.key("admin", "read")
    reader = await colleague.key("read")
    for role, seen in (("admin", {str(each.id) for each in (admin, user, colleague)}), ("user", {str(colleague.id)})):
        assert (await admin.ask("PATCH", f"/users/{colleague.id}", json={"role": role})).status_code == 200
        assert await accounts(colleague) == await accounts(program) == seen
        assert await accounts(reader) == {str(colleague.id)}


async def test_a_guest_and_a_server_of_ours_see_no_events(parley: Deployment, admin: Asker) -> None:
    for asker in (Asker(parley.url), Asker(parley.url, headers={"X-Internal-API-Key": INTERNAL_KEY})):
        refused = await asker.ask("GET", EVENTS)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    program = await admin.key("admin")
    refused = await program.ask("GET", EVENTS)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


async def test_an_event_says_what_happened_where_and_to_whom(admin: Asker, user: Asker) -> None:
    await admin.ask("PATCH", f"/users/{user.id}", json={"role": "admin"}, headers={"User-Agent": "A browser/1.0"})
    (event, *_) = (await user.ask("GET", EVENTS)).json()
    assert set(event) >= {"id", "kind", "user_id", "actor_id", "detail", "address", "device", "created_at"}
    assert (event["kind"], event["detail"]) == ("role_changed", {"from": "user", "to": "admin"})
    assert (event["user_id"], event["actor_id"]) == (str(user.id), str(admin.id))
    assert (event["address"], event["device"]) == ("127.0.0.1", "A browser/1.0")


async def test_events_are_read_by_pages_and_by_kind(admin: Asker, user: Asker) -> None:
    for name in ("Ada", "Bob", "Cyd"):
        await user.ask("PATCH", "/auth/me", json={"full_name": name})
    whole = (await user.ask("GET", EVENTS)).json()
    pages = [(await user.ask("GET", EVENTS, params={"limit": 2})).json()]
    while pages[-1]:
        pages.append((await user.ask("GET", EVENTS, params={"limit": 2, "after": pages[-1][-1]["id"]})).json())
    assert [event for page in pages for event in page] == whole
    assert [event["id"] for event in whole] == sorted((event["id"] for event in whole), reverse=True)
    updates = (await user.ask("GET", EVENTS, params={"kind": "user_updated"})).json()
    assert [event["kind"] for event in updates] == ["user_updated"] * 3
    for wrong in ({"limit": 0}, {"limit": 201}, {"after": "x"}, {"kind": "nothing"}, {"user_id": "x"}):
        assert (await admin.ask("GET", EVENTS, params=wrong)).status_code == 422


async def test_no_event_holds_what_was_typed_at_a_log_in(parley: Deployment, admin: Asker, rows: Rows) -> None:
    mistyped = f"password-in-the-wrong-field-{uuid4().hex}@example.com"
    known = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    assert (await admin.ask("POST", "/users/", json=known)).status_code == 201
    guest = Asker(parley.url)
    for attempt in ({"email": mistyped, "password": "wrong-password"}, known | {"password": "wrong-password"}):
        assert (await guest.ask("POST", "/auth/login", json=attempt)).status_code == 401
    (told,) = await rows(
        "SELECT string_agg(CAST(security_events AS text), '') AS everything, count(*) AS refusals FROM security_events"
        " WHERE kind = 'login_refused'"
    )
    assert told["refusals"] >= 2
    for secret in (mistyped, "wrong-password", PASSWORD, known["email"]):
        assert secret not in told["everything"]
