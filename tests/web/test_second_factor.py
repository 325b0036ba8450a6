"""The second factor over HTTP, as a client goes through it whose user has an authenticator app."""

import asyncio
import hashlib
import json
from base64 import b32encode, b64encode
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import bcrypt
import httpx
import pytest

from lib.auth.api_keys import make_key
from lib.auth.callers import Caller
from lib.db.events import NO_CLIENT
from lib.ids import DEFAULT_TEAM_ID, new_id
from tests.doubles.authenticator import Authenticator, scan
from tests.fixtures.served import served
from tests.fixtures.web import INTERNAL_KEY, JWT_KEY, PASSWORD, SEAL_KEY, Deploy, Deployment, Rows

PREFIXES = ["/api/v1/auth", "/api/auth", "/auth"]
HASH = bcrypt.hashpw(b64encode(hashlib.sha256(PASSWORD.encode()).digest()), bcrypt.gensalt(4)).decode()
"""The hash of `PASSWORD`, at the least cost, since it is compared often here."""


@dataclass
class Person:
    """Somebody with an account, a client, and before long an authenticator app and recovery codes."""

    id: UUID
    email: str
    client: httpx.AsyncClient
    prefix: str = "/auth"
    app: Authenticator | None = None
    recovery_codes: list[str] = field(default_factory=list[str])

    @property
    def scanned(self) -> Authenticator:
        assert self.app
        return self.app

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.client.post(f"{self.prefix}{path}", json=body or None)

    async def state(self) -> dict[str, Any]:
        response = await self.client.get(f"{self.prefix}/2fa")
        assert response.status_code == 200, response.text
        return response.json()

    async def begin_log_in(self) -> dict[str, Any]:
        """Give the password; what is answered is a challenge, or the end of it."""
        response = await self.post("/login", email=self.email, password=PASSWORD)
        assert response.status_code == 200, response.text
        return response.json()

    async def finish_log_in(self, code: str) -> httpx.Response:
        """Log in with the password and a code, and return the answer to the code."""
        return await self.post("/login/2fa", challenge=(await self.begin_log_in())["challenge"], code=code)

    async def sign_in(self) -> None:
        """Log in with the password alone, and keep what is given."""
        given = await self.begin_log_in()
        if "access_token" in given:
            self.client.headers["Authorization"] = f"Bearer {given['access_token']}"

    async def scan(self) -> None:
        """Begin a second factor, and have the app learn the secret."""
        response = await self.post("/2fa/setup")
        assert response.status_code == 200, response.text
        self.app = Authenticator.that_scans(response.json()["qr_svg"])

    async def enable(self) -> None:
        """Have a second factor, confirmed with the code that the app shows now."""
        await self.scan()
        response = await self.post("/2fa/verify", code=self.scanned.code())
        assert response.status_code == 200, response.text
        self.recovery_codes = response.json()["recovery_codes"]


class Meet(Protocol):
    """Makes an account in this deployment, and signs its user in where a password alone does."""

    async def __call__(
        self, parley: Deployment, *, prefix: str = "/auth", password_hash: str | None = HASH
    ) -> Person: ...


@pytest.fixture
async def meet(rows: Rows) -> AsyncGenerator[Meet]:
    """Make people; their clients go away with the test."""
    async with AsyncExitStack() as stack:

        async def somebody(parley: Deployment, *, prefix: str = "/auth", password_hash: str | None = HASH) -> Person:
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=parley.url, timeout=30))
            person = Person(*await an_account(rows, password_hash), client, prefix)
            if password_hash is not None:
                await person.sign_in()
            return person

        yield somebody


async def an_account(rows: Rows, password_hash: str | None = HASH) -> tuple[UUID, str]:
    """Make an account, and return its id and address."""
    user_id = new_id()
    email = f"{user_id}@example.com"
    await rows(
        "INSERT INTO users (id, team_id, email, password_hash) VALUES (%s, %s, %s, %s)",
        *(user_id, DEFAULT_TEAM_ID, email, password_hash),
    )
    return user_id, email


def refusal(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def events(rows: Rows, person: Person) -> list[tuple[str, dict[str, Any]]]:
    """Return what was written down of somebody's second factor, the oldest first."""
    found = await rows(
        "SELECT kind, detail FROM security_events WHERE user_id = %s AND kind NOT IN ('login', 'user_created')"
        " ORDER BY id",
        person.id,
    )
    return [(row["kind"], row["detail"]) for row in found]


@pytest.fixture
async def ada(parley: Deployment, meet: Meet) -> Person:
    return await meet(parley)


async def test_what_is_set_up_can_be_scanned_typed_and_opened(ada: Person) -> None:
    response = await ada.post("/2fa/setup")
    answer = response.json()
    assert set(answer) == {"secret", "otpauth_uri", "qr_svg"}
    assert response.headers["cache-control"] == "no-store"
    assert scan(answer["qr_svg"]) == answer["otpauth_uri"]
    app = Authenticator.that_reads(answer["otpauth_uri"])
    assert (app.issuer, app.account) == ("Parley", ada.email)
    assert b32encode(app.secret).decode() == answer["secret"]


async def test_what_was_only_begun_is_not_asked_for(ada: Person) -> None:
    await ada.scan()
    assert await ada.state() == {"enabled": False, "enabled_at": None, "recovery_codes_left": 0}
    assert "access_token" in await ada.begin_log_in()


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_log_in_takes_two_steps_from_the_first_code_on(parley: Deployment, meet: Meet, prefix: str) -> None:
    ada = await meet(parley, prefix=prefix)
    await ada.scan()
    confirmed = await ada.post("/2fa/verify", code=ada.scanned.code())
    assert (confirmed.status_code, confirmed.json()["enabled"]) == (200, True)
    assert len(set(confirmed.json()["recovery_codes"])) == 10
    state = await ada.state()
    assert (state["enabled"], state["recovery_codes_left"]) == (True, 10)
    assert datetime.fromisoformat(state["enabled_at"]).utcoffset() is not None
    ada.client.cookies.clear()
    ada.client.headers.pop("Authorization", None)
    first = await ada.post("/login", email=ada.email, password=PASSWORD)
    assert first.json()["requires_2fa"] is True
    assert "access_token" not in first.text
    assert first.headers.get_list("set-cookie") == []
    assert (await ada.client.get(f"{prefix}/me")).status_code == 401
    second = await ada.post("/login/2fa", challenge=first.json()["challenge"], code=ada.scanned.code(+1))
    assert (second.status_code, second.json()["user_id"]) == (200, str(ada.id))
    if prefix == "/auth":
        ada.client.headers["Authorization"] = f"Bearer {second.json()['access_token']}"
    assert (await ada.client.get(f"{prefix}/me")).json()["two_factor_enabled"] is True


async def test_the_challenge_of_the_first_step_is_no_access_token(ada: Person) -> None:
    await ada.enable()
    challenge = (await ada.begin_log_in())["challenge"]
    response = await ada.client.get("/auth/2fa", headers={"Authorization": f"Bearer {challenge}"})
    assert refusal(response) == (401, "unauthenticated")


async def test_a_password_that_was_changed_between_the_steps_was_not_shown(ada: Person, rows: Rows) -> None:
    await ada.enable()
    challenge = (await ada.begin_log_in())["challenge"]
    await rows("UPDATE users SET password_hash = 'another' WHERE id = %s", ada.id)
    refused = await ada.post("/login/2fa", challenge=challenge, code=ada.scanned.code(+1))
    assert refusal(refused) == (401, "invalid_credentials")


async def test_a_code_works_once_and_an_older_one_not_after_it(ada: Person) -> None:
    await ada.enable()
    older, newer = ada.scanned.code(), ada.scanned.code(+1)
    assert (await ada.finish_log_in(newer)).status_code == 200
    assert refusal(await ada.finish_log_in(newer)) == (401, "code_invalid")
    assert refusal(await ada.finish_log_in(older)) == (401, "code_invalid")


async def test_the_code_that_confirms_does_not_sign_in(ada: Person) -> None:
    await ada.scan()
    code = ada.scanned.code()
    assert (await ada.post("/2fa/verify", code=code)).status_code == 200
    assert refusal(await ada.finish_log_in(code)) == (401, "code_invalid")


@pytest.mark.parametrize("periods", [-3, +3])
async def test_a_code_of_another_time_does_not_work(ada: Person, periods: int) -> None:
    await ada.scan()
    assert refusal(await ada.post("/2fa/verify", code=ada.scanned.code(periods))) == (401, "code_invalid")
    assert (await ada.state())["enabled"] is False


async def test_of_ten_who_log_in_with_one_code_at_once_one_does(ada: Person) -> None:
    await ada.enable()
    challenges = [(await ada.begin_log_in())["challenge"] for _ in range(10)]
    code = ada.scanned.code(+1)
    answers = await asyncio.gather(*(ada.post("/login/2fa", challenge=each, code=code) for each in challenges))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9


async def test_of_ten_who_log_in_with_one_recovery_code_at_once_one_does(ada: Person, rows: Rows) -> None:
    await ada.enable()
    challenges = [(await ada.begin_log_in())["challenge"] for _ in range(10)]
    code = ada.recovery_codes[0]
    answers = await asyncio.gather(*(ada.post("/login/2fa", challenge=each, code=code) for each in challenges))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9
    assert (await ada.state())["recovery_codes_left"] == 9
    assert [each for each in await events(rows, ada) if each[0] == "recovery_code_used"] == [
        ("recovery_code_used", {"left": 9})
    ]


async def test_of_ten_who_confirm_with_one_code_at_once_one_is_given_recovery_codes(ada: Person) -> None:
    await ada.scan()
    code = ada.scanned.code()
    answers = await asyncio.gather(*(ada.post("/2fa/verify", code=code) for _ in range(10)))
    assert sorted(answer.status_code == 200 for answer in answers) == [False] * 9 + [True]
    assert {refusal(answer) for answer in answers if answer.status_code != 200} <= {
        (401, "code_invalid"),
        (409, "second_factor_enabled"),
    }
    assert (await ada.state())["recovery_codes_left"] == 10


async def test_each_recovery_code_signs_in_once_however_it_is_typed(ada: Person) -> None:
    await ada.enable()
    for code, between in zip(ada.recovery_codes, ["-", "", " ", " - "], strict=False):
        typed = f" {code.lower().replace('-', between)}\n"
        assert (await ada.finish_log_in(typed)).status_code == 200
        assert refusal(await ada.finish_log_in(code)) == (401, "code_invalid")
    assert (await ada.state())["recovery_codes_left"] == 6


async def test_a_code_of_the_app_may_be_typed_as_it_is_shown(ada: Person) -> None:
    await ada.scan()
    code = ada.scanned.code()
    assert (await ada.post("/2fa/verify", code=f" {code[:3]} {code[3:]}\n")).status_code == 200


async def test_a_second_set_up_voids_the_first_until_one_is_confirmed(ada: Person) -> None:
    await ada.scan()
    first = ada.scanned
    await ada.scan()
    assert refusal(await ada.post("/2fa/verify", code=first.code())) == (401, "code_invalid")
    assert (await ada.post("/2fa/verify", code=ada.scanned.code())).status_code == 200
    assert refusal(await ada.post("/2fa/setup")) == (409, "second_factor_enabled")
    assert refusal(await ada.post("/2fa/verify", code=ada.scanned.code(+1))) == (409, "second_factor_enabled")
    assert (await ada.finish_log_in(ada.scanned.code(+1))).status_code == 200


async def test_what_was_never_set_up_is_neither_confirmed_nor_disabled(ada: Person) -> None:
    missing = (409, "second_factor_missing")
    assert refusal(await ada.post("/2fa/verify", code="123456")) == missing
    await ada.scan()
    assert refusal(await ada.post("/2fa/disable", password=PASSWORD, code=ada.scanned.code())) == missing
    assert refusal(await ada.post("/2fa/recovery-codes", password=PASSWORD, code=ada.scanned.code())) == missing


@pytest.mark.parametrize("path", ["/2fa/disable", "/2fa/recovery-codes"])
async def test_a_change_takes_the_password_and_a_code(ada: Person, rows: Rows, path: str) -> None:
    await ada.enable()
    before, code = await ada.state(), ada.scanned.code(+1)
    assert refusal(await ada.post(path, code=code)) == (401, "invalid_credentials")
    assert refusal(await ada.post(path, password="wrong", code=code)) == (401, "invalid_credentials")
    assert refusal(await ada.post(path, password=PASSWORD, code=ada.scanned.wrong_code())) == (401, "code_invalid")
    assert refusal(await ada.post(path, password=PASSWORD)) == (422, "invalid_request")
    assert await ada.state() == before
    assert [kind for kind, _ in await events(rows, ada)] == ["second_factor_enabled"]
    # None of that has used the code up; now it is.
    assert (await ada.post(path, password=PASSWORD, code=code)).status_code == 200


@pytest.mark.parametrize("recovery", [False, True])
async def test_without_it_a_log_in_is_one_step_again(ada: Person, rows: Rows, recovery: bool) -> None:
    await ada.enable()
    code = ada.recovery_codes[0] if recovery else ada.scanned.code(+1)
    answer = await ada.post("/2fa/disable", password=PASSWORD, code=code)
    assert answer.json() == {"enabled": False, "enabled_at": None, "recovery_codes_left": 0} == await ada.state()
    assert "access_token" in await ada.begin_log_in()
    kinds = [kind for kind, _ in await events(rows, ada)]
    used = ["recovery_code_used"] if recovery else []
    assert kinds == ["second_factor_enabled", *used, "second_factor_disabled"]
    await ada.enable()
    assert refusal(await ada.finish_log_in(code)) == (401, "code_invalid")


async def test_an_account_without_a_password_shows_a_code_alone(deploy: Deploy, meet: Meet) -> None:
    parley = await deploy(email_only_login=True)
    ada = await meet(parley, password_hash=None)
    signed_in = await ada.post("/login", email=ada.email)
    ada.client.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
    await ada.enable()
    assert "challenge" in (await ada.post("/login", email=ada.email)).json()
    assert refusal(await ada.post("/2fa/disable", code=ada.scanned.wrong_code())) == (401, "code_invalid")
    assert (await ada.post("/2fa/disable", code=ada.scanned.code(+1))).status_code == 200


async def test_fresh_recovery_codes_void_the_others(ada: Person, rows: Rows) -> None:
    await ada.enable()
    answer = await ada.post("/2fa/recovery-codes", password=PASSWORD, code=ada.recovery_codes[0])
    fresh = answer.json()["recovery_codes"]
    assert (len(fresh), set(fresh) & set(ada.recovery_codes)) == (10, set())
    assert refusal(await ada.finish_log_in(ada.recovery_codes[1])) == (401, "code_invalid")
    assert (await ada.finish_log_in(fresh[0])).status_code == 200
    assert (await ada.state())["recovery_codes_left"] == 9
    assert await events(rows, ada) == [
        ("second_factor_enabled", {"count": 10}),
        ("recovery_code_used", {"left": 9}),
        ("recovery_codes_made", {"count": 10}),
        ("login_refused", {"reason": "wrong_code"}),
        ("recovery_code_used", {"left": 9}),
    ]


async def test_anothers_codes_are_nothing_to_one(parley: Deployment, meet: Meet) -> None:
    ada, bob = await meet(parley), await meet(parley)
    await ada.enable()
    await bob.enable()
    for code in (bob.scanned.code(+1), bob.recovery_codes[0]):
        assert refusal(await ada.finish_log_in(code)) == (401, "code_invalid")
        assert refusal(await ada.post("/2fa/disable", password=PASSWORD, code=code)) == (401, "code_invalid")
    assert (await bob.state())["recovery_codes_left"] == 10
    assert (await bob.finish_log_in(bob.scanned.code(+1))).status_code == 200


async def test_a_secret_opens_in_no_other_users_row(parley: Deployment, rows: Rows, meet: Meet) -> None:
    ada, bob = await meet(parley), await meet(parley)
    await ada.enable()
    await bob.enable()
    await rows(
        "UPDATE second_factors SET last_step = 0, sealed_secret = ("
        "SELECT sealed_secret FROM second_factors WHERE user_id = %s) WHERE user_id = %s",
        *(bob.id, ada.id),
    )
    assert refusal(await ada.finish_log_in(bob.scanned.code())) == (500, "unsealable")


@pytest.mark.parametrize("path", ["/2fa/verify", "/2fa/disable", "/2fa/recovery-codes", "/login/2fa"])
async def test_attempts_are_limited_for_an_account_over_all_routes(
    deploy: Deploy, rows: Rows, meet: Meet, path: str
) -> None:
    parley = await deploy(rate_limits={"login": 0, "second_factor": 5})
    await rows("DELETE FROM rate_limits WHERE key LIKE 'second_factor:%%'")
    ada = await meet(parley)
    await ada.scan()
    wrong, right = ada.scanned.wrong_code(), ada.scanned.code()
    if path != "/2fa/verify":
        await ada.post("/2fa/verify", code=right)
        right = ada.scanned.code(+1)
        await rows("DELETE FROM rate_limits WHERE key LIKE 'second_factor:%%'")
    more = {
        "/2fa/verify": {},
        "/login/2fa": {"challenge": (await ada.begin_log_in()).get("challenge")},
    }.get(path, {"password": PASSWORD})
    for _ in range(5):
        assert refusal(await ada.post(path, code=wrong, **more)) == (401, "code_invalid")
    refused = await ada.post(path, code=right, **more)
    assert refusal(refused) == (429, "rate_limited")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    others = {"/2fa/disable", "/2fa/recovery-codes"} - {path}
    for other in others:
        assert refusal(await ada.post(other, code=right, password=PASSWORD)) == (429, "rate_limited")


@pytest.mark.parametrize("path", ["/2fa/verify", "/2fa/disable", "/2fa/recovery-codes"])
async def test_a_token_whose_session_ended_locks_its_owner_out_of_no_log_in(
    deploy: Deploy, rows: Rows, meet: Meet, path: str
) -> None:
    parley = await deploy(rate_limits={"login": 0, "second_factor": 2})
    await rows("DELETE FROM rate_limits WHERE key LIKE 'second_factor:%%'")
    ada = await meet(parley)
    await ada.enable()
    await rows("DELETE FROM rate_limits WHERE key LIKE 'second_factor:%%'")
    assert (await ada.client.delete("/auth/sessions")).status_code == 200
    body = {"code": "123456"} if path == "/2fa/verify" else {"code": "123456", "password": PASSWORD}
    for _ in range(3):
        assert refusal(await ada.post(path, **body)) == (401, "unauthenticated")
    assert (await ada.finish_log_in(ada.scanned.code(+1))).status_code == 200


async def everything(ada: Person, client: httpx.AsyncClient, **headers: str) -> list[tuple[int, str]]:
    """Try each route with what would do, were it Ada who asks, and return how that was refused."""
    proof = {"password": PASSWORD, "code": ada.recovery_codes[0]}
    bodies = {"setup": None, "verify": {"code": ada.scanned.code(+1)}, "disable": proof, "recovery-codes": proof}
    tried = [await client.post(f"/auth/2fa/{path}", json=body, headers=headers) for path, body in bodies.items()]
    return [refusal(answer) for answer in (*tried, await client.get("/auth/2fa", headers=headers))]


async def test_a_program_with_a_key_or_nobody_at_all_gets_nowhere(parley: Deployment, ada: Person, rows: Rows) -> None:
    await ada.enable()
    before = await rows("SELECT * FROM second_factors WHERE user_id = %s", ada.id)
    (session,) = await rows("SELECT id FROM sessions WHERE user_id = %s", ada.id)
    caller = Caller(user_id=ada.id, session_id=session["id"])
    made = await make_key(
        parley.instance.database, caller, name="A program", scopes=["chat", "read"], expires_at=None, client=NO_CLIENT
    )
    async with httpx.AsyncClient(base_url=parley.url) as stranger:
        assert set(await everything(ada, stranger)) == {(401, "unauthenticated")}
        assert set(await everything(ada, stranger, **{"X-Internal-API-Key": INTERNAL_KEY})) == {
            (401, "unauthenticated")
        }
        assert set(await everything(ada, stranger, Authorization=f"Bearer {made.key}")) == {(403, "forbidden")}
    assert await rows("SELECT * FROM second_factors WHERE user_id = %s", ada.id) == before
    assert (await ada.state())["recovery_codes_left"] == 10


async def test_a_session_that_has_ended_changes_nothing(ada: Person, rows: Rows) -> None:
    await ada.enable()
    before = await rows("SELECT * FROM second_factors WHERE user_id = %s", ada.id)
    await rows("UPDATE sessions SET revoked_at = now() WHERE user_id = %s", ada.id)
    assert set(await everything(ada, ada.client)) == {(401, "unauthenticated")}
    assert await rows("SELECT * FROM second_factors WHERE user_id = %s", ada.id) == before
    assert await rows("SELECT code_hash FROM recovery_codes WHERE user_id = %s AND used_at IS NOT NULL", ada.id) == []


async def test_what_is_no_code_is_refused_like_a_wrong_one(ada: Person) -> None:
    await ada.enable()
    challenge = (await ada.begin_log_in())["challenge"]
    for code in ("", "12345", "1234567", "½" * 64, "ﷺ" * 64, "\0", "١٢٣٤٥٦", "123456\0", "'; DROP TABLE users; --"):
        assert refusal(await ada.post("/login/2fa", challenge=challenge, code=code)) == (401, "code_invalid")
        assert refusal(await ada.post("/2fa/disable", password=PASSWORD, code=code)) == (401, "code_invalid")


async def test_what_a_body_cannot_hold_is_refused_and_not_repeated(ada: Person) -> None:
    cannot: list[tuple[str, dict[str, Any]]] = [
        ("/2fa/verify", {"code": "1" * 65}),
        ("/2fa/verify", {"code": 111111}),
        ("/2fa/verify", {"code": "111111", "user_id": "01995d2e-0000-7000-8000-000000000000"}),
        ("/2fa/disable", {"password": "1" * 1025, "code": "111111"}),
        ("/2fa/recovery-codes", {"code": "111111", "count": 1000}),
    ]
    for path, body in cannot:
        response = await ada.post(path, **body)
        assert refusal(response) == (422, "invalid_request")
        assert "1111" not in response.text


async def test_half_of_a_surrogate_pair_is_no_code(ada: Person) -> None:
    content = json.dumps({"code": "12345\ud800"})
    headers = {"Content-Type": "application/json"}
    assert refusal(await ada.client.post("/auth/2fa/verify", content=content, headers=headers))[0] == 422


async def test_neither_secret_nor_codes_are_in_the_database(ada: Person, rows: Rows) -> None:
    await ada.enable()
    kept = await rows(
        "SELECT to_jsonb(second_factors) AS factor, (SELECT jsonb_agg(to_jsonb(recovery_codes)) FROM recovery_codes"
        " WHERE recovery_codes.user_id = second_factors.user_id) AS codes, sealed_secret, (SELECT"
        " jsonb_agg(to_jsonb(security_events)) FROM security_events WHERE user_id = second_factors.user_id) AS events"
        " FROM second_factors WHERE user_id = %s",
        ada.id,
    )
    (row,) = kept
    secret = ada.scanned.secret
    assert len(row["codes"]) == 10
    assert secret not in row["sealed_secret"]
    everything = json.dumps(row, default=str).upper()
    for shown in (secret.hex().upper(), b32encode(secret).decode(), b64encode(secret).decode().upper()):
        assert shown not in everything
    for code in ada.recovery_codes:
        for spelled in (code, code.replace("-", ""), code.replace("-", "").encode().hex().upper()):
            assert spelled not in everything


async def test_the_log_says_nothing_of_secret_or_codes(tmp_path: Path, database_url: str, rows: Rows) -> None:
    environment = {
        "DATABASE_URL": database_url,
        "JWT_SECRET_KEY": JWT_KEY,
        "SEAL_KEY": SEAL_KEY,
        "LOG_LEVEL": "DEBUG",
        "RATE_LIMITS": "login=0,second_factor=0",
    }
    async with (
        served(tmp_path, **environment) as running,
        httpx.AsyncClient(base_url=running.url, timeout=30) as client,
    ):
        ada = Person(*await an_account(rows), client)
        await ada.sign_in()
        await ada.enable()
        used = [ada.scanned.code(+1), ada.recovery_codes[0], ada.recovery_codes[1]]
        for code in used[:2] * 2:
            await ada.finish_log_in(code)
        await ada.post("/2fa/disable", password=PASSWORD, code=used[2])
    routes = [line["route"] for line in running.requests]
    assert sum(route.endswith("/login/2fa") for route in routes) == 4
    secret = ada.scanned.secret
    for unsaid in (*used, *ada.recovery_codes, b32encode(secret).decode(), secret.hex(), "otpauth", "<svg", PASSWORD):
        assert unsaid not in running.stderr
        assert unsaid not in running.stdout
