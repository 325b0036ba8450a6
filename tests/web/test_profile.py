"""One's own profile, over HTTP: a name, preferences, and a picture."""

import base64
import json
from typing import Any
from uuid import UUID

import pytest

from lib.files.images import LARGEST
from lib.web.middleware import MAX_BODY, MAX_PICTURE_BODY
from lib.web.objects import DEEPEST as DEEPEST_PREFERENCES
from lib.web.objects import LONGEST as LONGEST_PREFERENCES
from lib.web.routes.identity import PREFIXES
from tests.fixtures.people import Asker, kinds, someone
from tests.fixtures.pictures import GIF, KINDS, PNG, SVG, png
from tests.fixtures.web import Deployment, Rows


@pytest.fixture
async def user(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, team_id=team_id)


def as_uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def nested(levels: int) -> dict[str, Any]:
    """Return an object of so many levels."""
    return {"in": nested(levels - 1)} if levels > 1 else {}


async def send(asker: Asker, text: str) -> Any:
    """Send a body as it is spelled, which may be what no JSON library writes."""
    return await asker.ask("PATCH", "/auth/me", content=text.encode(), headers={"Content-Type": "application/json"})


# Name and preferences


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_profile_is_changed_where_it_is_shown(user: Asker, rows: Rows, prefix: str) -> None:
    profile = {"full_name": "Ада Λόβλεϊς", "preferences": {"theme": "dark", "tags": ["ä", 1, 1.5, None, True]}}
    changed = await user.ask("PATCH", f"{prefix}/me", json=profile)
    assert changed.status_code == 200, changed.text
    me = (await user.ask("GET", f"{prefix}/me")).json()
    assert me == changed.json()
    assert {name: me[name] for name in profile} == profile
    assert me == (await user.ask("GET", f"/users/{user.id}")).json()
    assert (await kinds(rows, user.id))[-1] == "user_updated"


async def test_preferences_take_the_place_of_what_was_there(user: Asker) -> None:
    for preferences in ({"a": 1, "b": 2}, {"b": 3}, {}):
        assert (await user.ask("PATCH", "/auth/me", json={"preferences": preferences})).json()["preferences"] == (
            preferences
        )


async def test_preferences_may_be_so_long_and_so_deep(user: Asker) -> None:
    longest = {"x": "é" * ((LONGEST_PREFERENCES - len('{"x": ""}')) // 2)}
    for preferences in (longest, nested(DEEPEST_PREFERENCES), {"big": 10**30, "small": 1e-300}):
        kept = await user.ask("PATCH", "/auth/me", json={"preferences": preferences})
        assert kept.status_code == 200, kept.text
        assert kept.json()["preferences"] == preferences


@pytest.mark.parametrize(
    "preferences",
    [
        json.dumps({"x": "y" * LONGEST_PREFERENCES}),
        json.dumps({"x": "é" * (LONGEST_PREFERENCES // 2)}),
        json.dumps(nested(DEEPEST_PREFERENCES + 1)),
        json.dumps({"x": [nested(DEEPEST_PREFERENCES - 1)]}),
        '{"x":' * 100_000 + "1" + "}" * 100_000,
        '{"x": "\\u0000"}',
        '{"\\u0000": 1}',
        '{"x": "\\ud800"}',
        '{"x": NaN}',
        '{"x": 1e999}',
        '{"x": ' + "9" * 5_000 + "}",
        "[]",
        "null",
        '"dark"',
    ],
    ids=range(14),
)
async def test_preferences_that_cannot_be_kept_are_refused(user: Asker, rows: Rows, preferences: str) -> None:
    refused = await send(user, f'{{"preferences": {preferences}}}')
    assert refused.status_code in {400, 422}, refused.text
    assert refused.json()["code"] == "invalid_request"
    (kept,) = await rows("SELECT preferences FROM users WHERE id = %s", user.id)
    assert kept["preferences"] == {}


# Pictures


@pytest.mark.parametrize(("kind", "content"), KINDS.values(), ids=KINDS)
async def test_a_picture_is_kept_as_what_it_is_whatever_it_is_called(
    user: Asker, rows: Rows, kind: str, content: bytes
) -> None:
    as_text = await user.ask("PATCH", "/auth/me", json={"avatar": as_uri(content, "text/html")})
    assert as_text.json()["avatar"] == as_uri(content, kind)
    for method in ("PUT", "POST"):
        form = {"file": ("me.svg", content, "image/svg+xml")}
        uploaded = await user.ask(method, "/api/auth/me/avatar", files=form)
        assert uploaded.json()["avatar"] == as_uri(content, kind), uploaded.text
    (kept,) = await rows("SELECT avatar FROM users WHERE id = %s", user.id)
    assert kept["avatar"] == as_uri(content, kind)
    assert (await user.ask("DELETE", "/auth/me/avatar")).json()["avatar"] is None


@pytest.mark.parametrize(
    "content",
    [
        SVG,
        b"<html><script>alert(1)</script>",
        PNG[:-1],
        GIF[:-1],
        b"GIF89a/*\0*/=alert(1)//;",
        b"",
        b"%PDF-1.7",
    ],
    ids=["svg", "html", "cut png", "cut gif", "script as gif", "empty", "pdf"],
)
async def test_what_is_no_picture_is_refused_whatever_it_is_called(user: Asker, rows: Rows, content: bytes) -> None:
    answers = [await user.ask("PATCH", "/auth/me", json={"avatar": as_uri(content)})]
    answers.append(await user.ask("PUT", "/auth/me/avatar", files={"file": ("me.png", content, "image/png")}))
    for refused in answers:
        assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_image")
    (kept,) = await rows("SELECT avatar FROM users WHERE id = %s", user.id)
    assert kept["avatar"] is None


async def test_what_hides_behind_a_picture_is_not_kept(user: Asker) -> None:
    zipped = PNG + b"PK\x03\x04<script>alert(1)</script>"
    uploaded = await user.ask("PUT", "/auth/me/avatar", files={"file": ("me.png", zipped, "image/png")})
    assert uploaded.json()["avatar"] == as_uri(PNG)


@pytest.mark.parametrize("wrong", ["https://example.com/me.png", "data:,x", as_uri(PNG)[:-1], "javascript:alert(1)"])
async def test_a_picture_from_elsewhere_is_refused_and_not_fetched(user: Asker, wrong: str) -> None:
    refused = await user.ask("PATCH", "/auth/me", json={"avatar": wrong})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_image")


async def test_a_picture_may_have_2_mb(parley: Deployment, user: Asker, team_id: UUID) -> None:
    largest = png(LARGEST)
    by_text = await user.ask("PATCH", "/auth/me", json={"avatar": as_uri(largest)})
    by_form = await user.ask("PUT", "/auth/me/avatar", files={"file": ("me.png", largest, "image/png")})
    admin = await someone(parley, "admin", team_id=team_id)
    by_admin = await admin.ask("PUT", f"/users/{user.id}", json={"avatar": as_uri(largest)})
    assert [answer.status_code for answer in (by_text, by_form, by_admin)] == [200, 200, 200]
    assert by_form.json()["avatar"] == as_uri(largest)
    larger = png(LARGEST + 1)
    by_text = await user.ask("PATCH", "/auth/me", json={"avatar": as_uri(larger)})
    by_form = await user.ask("PUT", "/auth/me/avatar", files={"file": ("me.png", larger, "image/png")})
    for refused in (by_text, by_form):
        assert (refused.status_code, refused.json()["code"]) == (413, "image_too_large")


async def test_only_a_route_that_takes_a_picture_takes_so_long_a_body(user: Asker) -> None:
    for size, code in ((MAX_PICTURE_BODY + 1, "body_too_large"), (MAX_PICTURE_BODY - 10, "image_too_large")):
        text = '{"avatar": "data:image/png;base64,' + "A" * (size - 36) + '"}'
        assert len(text) == size
        refused = await send(user, text)
        assert (refused.status_code, refused.json()["code"]) == (413, code)
    for path in ("/auth/api-keys", "/auth/login", "/api/v1/chat"):
        refused = await user.ask("POST", path, json={"name": "x" * MAX_BODY})
        assert (path, refused.status_code, refused.json()["code"]) == (path, 413, "body_too_large")


@pytest.mark.parametrize(
    "form",
    [
        {"files": {"picture": ("me.png", PNG, "image/png")}},
        {"data": {"file": "me.png"}},
        {"json": {"file": as_uri(PNG)}},
        {"content": b"--x\r\nnonsense", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": PNG, "headers": {"Content-Type": "multipart/form-data"}},
        {},
    ],
    ids=["another name", "a text", "json", "a broken form", "no boundary", "nothing"],
)
async def test_an_upload_without_its_file_is_refused(user: Asker, form: dict[str, Any]) -> None:
    refused = await user.ask("PUT", "/auth/me/avatar", **form)
    assert refused.status_code in {400, 422}, refused.text
    assert refused.json()["code"] == "invalid_request"


async def test_a_refusal_does_not_repeat_what_was_sent(user: Asker) -> None:
    for wrong in ({"avatar": 7, "full_name": "secret-name" * 40}, {"preferences": ["secret-name"]}):
        refused = await user.ask("PATCH", "/auth/me", json=wrong)
        assert refused.status_code == 422
        assert "secret-name" not in refused.text
