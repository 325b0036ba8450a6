"""A forgotten password set by mail, and one that is changed, over HTTP, with a real mail server."""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from lib.ids import DEFAULT_TEAM_ID
from lib.web.afterwards import ON_LAMBDA
from tests.doubles.mail_server import MailServer
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.people import Asker, kinds, someone
from tests.fixtures.web import PASSWORD, Deploy, Deployment, Rows

NEW_PASSWORD = "another-Pässwörd-人"
PUBLIC_URL = "https://chat.example.com"
LINK = re.compile(rf"{re.escape(PUBLIC_URL)}/reset-password#token=(\S+)")
ASKED = {"message": "If this address has an account, a mail with a link is on its way."}


@dataclass(frozen=True)
class Person:
    """An account that its owner can log in to."""

    id: UUID
    email: str


@dataclass(frozen=True)
class Post:
    """A deployment, and the mail server that it sends by."""

    parley: Deployment
    server: MailServer

    async def ask(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        """Post to a route of passwords, as a client of tokens does."""
        return await self.parley.client.post(f"/auth/password/{path}", json=body, headers=headers)

    async def register(self, **more: Any) -> Person:
        """Make an account with `PASSWORD`."""
        body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD, **more}
        made = await self.parley.client.post("/auth/register", json=body)
        assert made.status_code == 201, made.text
        return Person(UUID(made.json()["id"]), body["email"])

    async def log_in(self, person: Person, password: str, **more: str) -> httpx.Response:
        """Log in for tokens."""
        body = {"email": person.email, "password": password, **more}
        return await self.parley.client.post("/auth/login", json=body)

    async def bearer(self, person: Person) -> str:
        """Log in with `PASSWORD`, and return the header that says so."""
        return f"Bearer {(await self.log_in(person, PASSWORD)).json()['access_token']}"

    async def me(self, bearer: str) -> int:
        """Return the status of who one is."""
        response = await self.parley.client.get("/auth/me", headers={"Authorization": bearer})
        return response.status_code

    async def token(self, person: Person) -> str:
        """Say that the password is forgotten, and return the token of the mail."""
        earlier = self.server.recipients.count(person.email)
        assert (await self.ask("forgot", {"email": person.email})).status_code == 202
        await self.server.mails_to(person.email, earlier + 1)
        return LINK.findall(self.server.mails[-1].get_content())[0]

    async def reset(self, token: str, password: str = NEW_PASSWORD) -> tuple[int, str | None]:
        """Set a password, and return the status and the code of a refusal."""
        response = await self.ask("reset", {"token": token, "password": password})
        return response.status_code, response.json().get("code")


def settings_of(server: MailServer) -> dict[str, Any]:
    return {"smtp_url": server.url, "mail_from": "Parley <parley@example.com>", "public_url": PUBLIC_URL}


@pytest.fixture
async def post(deploy: Deploy) -> AsyncGenerator[Post]:
    async with MailServer() as server:
        yield Post(await deploy(**settings_of(server)), server)


async def test_a_mail_has_a_link_with_which_the_password_is_set(post: Post) -> None:
    person = await post.register()
    asked = await post.ask("forgot", {"email": person.email.upper()})
    assert (asked.status_code, asked.json()) == (202, ASKED)
    (mail,) = await post.server.mails_to(person.email)
    assert (mail["To"], mail["From"], mail["Subject"]) == (
        person.email,
        "Parley <parley@example.com>",
        "Set a new password",
    )
    (token,) = LINK.findall(mail.get_content())
    response = await post.ask("reset", {"token": token, "password": NEW_PASSWORD})
    assert (response.status_code, response.json()) == (200, {"message": "The password is set. Sign in with it."})
    assert "set-cookie" not in response.headers
    assert (await post.log_in(person, PASSWORD)).status_code == 401
    assert (await post.log_in(person, NEW_PASSWORD)).status_code == 200


async def test_every_session_of_the_account_ends_and_nobody_elses(post: Post, rows: Rows) -> None:
    person, other = await post.register(), await post.register()
    bearers = [await post.bearer(person) for _ in range(2)]
    others = await post.bearer(other)
    assert await post.reset(await post.token(person)) == (200, None)
    assert [await post.me(bearer) for bearer in bearers] == [401, 401]
    assert await post.me(others) == 200
    assert await kinds(rows, person.id) == ["user_created", "login", "login", "password_reset_asked", "password_reset"]
    (event,) = await rows(
        "SELECT detail, team_id FROM security_events WHERE user_id = %s AND kind = 'password_reset'", person.id
    )
    assert (event["detail"], event["team_id"]) == ({"count": 2, "keys": 0}, DEFAULT_TEAM_ID)


async def test_every_key_of_the_account_is_revoked_by_a_reset_and_by_nothing_less(post: Post, rows: Rows) -> None:
    person, other = await post.register(), await post.register()
    owner, stranger = [
        Asker(post.parley.url, each.id, {"Authorization": await post.bearer(each)}) for each in (person, other)
    ]
    programs = [await owner.key("read"), await owner.key("chat", "read")]
    others = await stranger.key("read")

    async def statuses() -> list[int]:
        return [(await program.ask("GET", "/auth/me")).status_code for program in (*programs, others)]

    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await owner.ask("POST", "/auth/password/change", json=change)).status_code == 200
    assert (await owner.ask("DELETE", "/auth/sessions")).is_success
    assert await statuses() == [200, 200, 200]
    assert await post.reset(await post.token(person), PASSWORD) == (200, None)
    assert await statuses() == [401, 401, 200]
    (event,) = await rows(
        "SELECT detail FROM security_events WHERE user_id = %s AND kind = 'password_reset'", person.id
    )
    assert event["detail"] == {"count": 0, "keys": 2}


async def test_a_key_that_is_made_while_the_reset_waits_is_revoked(post: Post, rows: Rows, database_url: str) -> None:
    person = await post.register()
    owner = Asker(post.parley.url, person.id, {"Authorization": await post.bearer(person)})
    token = await post.token(person)
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        # As a statement does that makes a key, and is not done yet.
        await other.execute("UPDATE users SET id = id WHERE id = %s", [person.id])
        await other.execute(
            "INSERT INTO api_keys (id, team_id, user_id, name, scopes, secret_hash)"
            " VALUES (gen_random_uuid(), %s, %s, 'A program', ARRAY['read'], '')",
            [DEFAULT_TEAM_ID, person.id],
        )
        resetting = asyncio.create_task(post.reset(token))
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%password_resets%%'"
        async with asyncio.timeout(2):
            while not resetting.done() and not await rows(waiting):
                pass
        making = asyncio.create_task(owner.ask("POST", "/auth/api-keys", json={"name": "Late", "scopes": ["read"]}))
        late = (
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%INSERT INTO api_keys%%'"
        )
        async with asyncio.timeout(2):
            while not making.done() and not await rows(late):
                pass
    assert await resetting == (200, None)
    assert (await making).status_code in {201, 401}  # as the two come
    assert await rows("SELECT id FROM api_keys WHERE user_id = %s AND revoked_at IS NULL", person.id) == []
    (event,) = await rows("SELECT detail FROM security_events WHERE user_id = %s AND kind = 'key_revoked'", person.id)
    assert event["detail"]["count"] >= 1


async def test_a_second_factor_stays(post: Post, rows: Rows) -> None:
    person = await post.register()
    await rows(
        "INSERT INTO second_factors (user_id, team_id, sealed_secret, confirmed_at) VALUES (%s, %s, 'sealed', now())",
        person.id,
        DEFAULT_TEAM_ID,
    )
    assert await post.reset(await post.token(person)) == (200, None)
    response = await post.log_in(person, NEW_PASSWORD)
    assert response.json()["requires_2fa"] is True
    assert "access_token" not in response.json()


async def test_a_token_works_once_though_ten_come_at_once(post: Post) -> None:
    person = await post.register()
    token = await post.token(person)
    outcomes = await asyncio.gather(*(post.reset(token, f"{NEW_PASSWORD}-{number}") for number in range(10)))
    assert sorted(outcomes) == [(200, None), *[(400, "reset_invalid")] * 9]
    right = outcomes.index((200, None))
    assert (await post.log_in(person, f"{NEW_PASSWORD}-{right}")).status_code == 200


async def test_one_token_uses_up_every_other_of_the_account_also_at_once(post: Post) -> None:
    person = await post.register()
    tokens = [await post.token(person) for _ in range(4)]
    outcomes = await asyncio.gather(*(post.reset(token) for token in tokens * 2))
    assert sorted(outcomes) == [(200, None), *[(400, "reset_invalid")] * 7]


async def test_a_token_is_good_for_half_an_hour(post: Post, rows: Rows) -> None:
    person = await post.register()
    late, timely = await post.token(person), await post.token(person)
    for token, minutes in ((late, 31), (timely, 29)):
        await rows(
            "UPDATE password_resets SET expires_at = expires_at - make_interval(mins => %s) WHERE id = %s",
            minutes,
            UUID(token.partition(".")[0]),
        )
    assert await post.reset(late) == (400, "reset_invalid")
    assert await post.reset(timely) == (200, None)


async def test_what_is_no_token_of_the_account_sets_nothing(post: Post) -> None:
    person, other = await post.register(), await post.register()
    token, others = await post.token(person), await post.token(other)
    reset_id, _, secret = token.partition(".")
    garbage = [
        *("", ".", "x", reset_id, f"{reset_id}.", f".{secret}", secret, f"{reset_id}.{secret}x", token.upper()),
        *(f"{reset_id}.{others.partition('.')[2]}", f"{uuid4().hex}.{secret}", f"{token}\0", f"{token} ", "%00", "🔑"),
    ]
    assert {await post.reset(each) for each in garbage} == {(400, "reset_invalid")}
    assert await post.reset("x" * 201) == (422, "invalid_request")
    assert await post.reset(token) == (200, None)


@pytest.mark.parametrize("off", ["UPDATE users SET is_active = false WHERE id = %s", "DELETE FROM users WHERE id = %s"])
async def test_an_account_that_is_off_has_no_reset(post: Post, rows: Rows, off: str) -> None:
    person = await post.register()
    token = await post.token(person)
    await rows(off, person.id)
    assert await post.reset(token) == (400, "reset_invalid")
    assert (await post.ask("forgot", {"email": person.email})).json() == ASKED
    assert post.server.recipients.count(person.email) == 1


async def test_the_database_holds_no_token(post: Post, rows: Rows) -> None:
    person = await post.register()
    token = await post.token(person)
    (row,) = await rows("SELECT * FROM password_resets WHERE user_id = %s", person.id)
    secret = token.partition(".")[2]
    assert row["token_hash"] == hashlib.sha256(secret.encode()).digest()
    assert secret not in str(row)


async def test_an_address_without_an_account_is_answered_alike_and_limited_alike(deploy: Deploy, rows: Rows) -> None:
    async with MailServer() as server:
        post = Post(await deploy(**settings_of(server), rate_limits={"register": 0, "reset": 3}), server)
        person = await post.register()
        answers: list[list[Any]] = []
        for email in (person.email, f"{uuid4().hex}@example.com"):
            await rows("DELETE FROM rate_limits WHERE key LIKE 'reset:address:%%'")
            answers.append([seen(await post.ask("forgot", {"email": email})) for _ in range(4)])
    assert answers[0] == answers[1]
    assert [status for status, *_ in answers[0]] == [202, 202, 202, 429]


def seen(response: httpx.Response) -> tuple[int, Any, dict[str, str]]:
    """Return all that a client sees, but for what is another with each request."""
    body = {name: value for name, value in response.json().items() if name != "request_id"}
    hidden = {"x-request-id", "date", "content-length", "ratelimit-reset", "retry-after"}
    return response.status_code, body, {name: value for name, value in response.headers.items() if name not in hidden}


async def test_an_account_is_limited_from_wherever_it_is_asked_for(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERCEL", "1")
    async with MailServer() as server:
        post = Post(await deploy(**settings_of(server), rate_limits={"register": 0, "reset": 2}), server)
        email = f"{uuid4().hex}@example.com"
        statuses = [
            (await post.ask("forgot", {"email": email}, **{"x-vercel-forwarded-for": f"2001:db8:{n}::1"})).status_code
            for n in range(3)
        ]
    assert statuses == [202, 202, 429]


async def test_the_answer_does_not_wait_for_the_mail(post: Post) -> None:
    person = await post.register()
    post.server.hold()
    asked = await post.ask("forgot", {"email": person.email})
    assert (asked.status_code, post.server.mails) == (202, [])
    post.server.release()
    await post.server.mails_to(person.email)


async def test_on_lambda_the_answer_takes_its_time_whoever_is_asked_for(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MailServer() as server:
        post = Post(await deploy(**settings_of(server)), server)
        person = await post.register()
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "parley-auth")

        async def seconds(email: str) -> float:
            began = time.perf_counter()
            assert (await post.ask("forgot", {"email": email})).json() == ASKED
            return time.perf_counter() - began

        known, unknown = await asyncio.gather(seconds(person.email), seconds(f"{uuid4().hex}@example.com"))
        assert server.recipients == [person.email]
    assert min(known, unknown) >= ON_LAMBDA
    assert max(known, unknown) < ON_LAMBDA + 1


@pytest.mark.parametrize("known", [True, False])
async def test_a_deployment_that_sends_no_mail_says_so_whoever_is_asked_for(deploy: Deploy, known: bool) -> None:
    parley = await deploy(environment="production", guest_chat=False, public_url=None)
    email = f"{uuid4().hex}@example.com"
    if known:
        await parley.client.post("/auth/register", json={"email": email, "password": PASSWORD})
    response = await parley.client.post("/auth/password/forgot", json={"email": email})
    assert (response.status_code, response.json()["code"]) == (503, "mail_unavailable")


async def test_a_mail_that_does_not_leave_is_in_the_log_and_nowhere_else(
    deploy: Deploy, caplog: pytest.LogCaptureFixture
) -> None:
    async with MailServer() as server:
        settings = settings_of(server)
    post = Post(await deploy(**settings), server)
    person = await post.register()
    assert (await post.ask("forgot", {"email": person.email})).status_code == 202
    await post.parley.instance.close()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "parley.auth"]
    assert line == "the mail for a reset was not sent: the mail server cannot be used: ConnectionRefusedError"


async def test_without_a_database_nothing_is_said_to_be_on_its_way(deploy: Deploy, proxy: PostgresProxy) -> None:
    async with MailServer() as server:
        post = Post(await deploy(**settings_of(server), DATABASE_URL=proxy.url, rate_limits={"reset": 5}), server)
        proxy.refuse()
        asked = await post.ask("forgot", {"email": "somebody@example.com"})
        assert (asked.status_code, asked.json()["code"]) == (503, "database_unavailable")
        assert await post.reset(f"{uuid4().hex}.secret") == (503, "database_unavailable")


async def test_accounts_in_several_teams_have_a_link_each_in_one_mail(post: Post, rows: Rows) -> None:
    person = await post.register()
    slug = f"team-{uuid4().hex[:8]}"
    await rows("INSERT INTO teams (name, slug) VALUES (%s, %s)", "Équipe 二\nBcc: everybody@example.com", slug)
    await rows(
        "INSERT INTO users (id, team_id, email, password_hash) SELECT gen_random_uuid(), teams.id, email, password_hash"
        " FROM users, teams WHERE users.id = %s AND slug = %s",
        person.id,
        slug,
    )
    assert (await post.ask("forgot", {"email": person.email})).status_code == 202
    (mail,) = await post.server.mails_to(person.email)
    text = mail.get_content().replace("\r\n", "\n")
    first, second = LINK.findall(text)
    assert f"Default:\n{PUBLIC_URL}/reset-password#token={first}\n" in text
    assert f"Équipe 二Bcc: everybody@example.com:\n{PUBLIC_URL}/reset-password#token={second}\n" in text
    assert mail["Bcc"] is None
    assert await post.reset(second) == (200, None)
    assert (await post.log_in(person, NEW_PASSWORD, team=slug)).status_code == 200
    assert (await post.log_in(person, PASSWORD, team="default")).status_code == 200

    assert (await post.ask("forgot", {"email": person.email, "team": slug})).status_code == 202
    await post.server.mails_to(person.email, 2)
    assert len(LINK.findall(post.server.mails[-1].get_content())) == 1
    assert (await post.ask("forgot", {"email": person.email, "team": "no-such-team"})).json() == ASKED


@pytest.mark.parametrize("line", ["\n", "\r\n", "\0", "\u2028", "%0a"])
async def test_an_address_that_would_be_a_header_of_its_own_is_none(post: Post, line: str) -> None:
    response = await post.ask("forgot", {"email": f"jo@example.com{line}Bcc: everybody@example.com"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert post.server.mails == []


async def test_a_mail_says_nothing_that_whoever_registered_the_address_wrote(post: Post) -> None:
    person = await post.register(full_name="Visit https://evil.example now")
    await post.token(person)
    assert "evil" not in post.server.mails[-1].as_string()


async def test_a_common_password_is_refused_wherever_one_is_chosen_and_uses_up_no_token(post: Post) -> None:
    person = await post.register()
    token, bearer = await post.token(person), await post.bearer(person)
    assert await post.reset(token, "Password123") == (422, "password_too_common")
    changed = await post.ask("change", {"current_password": PASSWORD, "new_password": "iloveyou"}, Authorization=bearer)
    assert (changed.status_code, changed.json()["code"]) == (422, "password_too_common")
    assert changed.json()["detail"] == [
        {
            "type": "password_too_common",
            "loc": ["body", "new_password"],
            "msg": "this password is one of the most common",
        }
    ]
    registered = await post.parley.client.post(
        "/auth/register", json={"email": "new@example.com", "password": "qwertyuiop"}
    )
    assert (registered.status_code, registered.json()["code"]) == (422, "password_too_common")
    assert await post.reset(token) == (200, None)


async def test_changing_a_password_takes_the_one_before_and_ends_every_other_session(post: Post, rows: Rows) -> None:
    person = await post.register()
    own, other = await post.bearer(person), await post.bearer(person)
    token = await post.token(person)
    wrong = {"current_password": f"{PASSWORD}x", "new_password": NEW_PASSWORD}
    refused = await post.ask("change", wrong, Authorization=own)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")
    assert [await post.me(own), await post.me(other)] == [200, 200]

    changed = await post.ask("change", wrong | {"current_password": PASSWORD}, Authorization=own)
    assert (changed.status_code, changed.json()) == (200, {"message": "The password is changed."})
    assert [await post.me(own), await post.me(other)] == [200, 401]
    assert await post.reset(token) == (400, "reset_invalid")
    assert (await post.log_in(person, PASSWORD)).status_code == 401
    assert (await post.log_in(person, NEW_PASSWORD)).status_code == 200
    (event,) = await rows(
        "SELECT detail FROM security_events WHERE user_id = %s AND kind = 'password_changed'", person.id
    )
    assert event["detail"] == {"count": 1}


async def test_of_two_changes_at_once_one_is_made(post: Post) -> None:
    person = await post.register()
    bearer = await post.bearer(person)
    bodies = [{"current_password": PASSWORD, "new_password": f"{NEW_PASSWORD}{n}"} for n in range(2)]
    answers = await asyncio.gather(*(post.ask("change", body, Authorization=bearer) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 401]


@asynccontextmanager
async def signing_in(person: Person, database_url: str) -> AsyncGenerator[UUID]:
    """Begin a session as a log-in with the password does, and end that once somebody waits for the account."""
    session_id = uuid4()
    async with (
        await psycopg.AsyncConnection.connect(database_url) as log_in,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as observer,
    ):
        await log_in.execute("UPDATE users SET last_login_at = now() WHERE id = %s", [person.id])
        await log_in.execute(
            "INSERT INTO sessions (id, team_id, user_id, expires_at) VALUES (%s, %s, %s, now() + interval '1 day')",
            [session_id, DEFAULT_TEAM_ID, person.id],
        )
        yield session_id
        waiting = "SELECT FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
        async with asyncio.timeout(10):
            while await (await observer.execute(waiting, [log_in.info.backend_pid])).fetchone() is None:
                continue


@pytest.mark.parametrize("forgotten", [True, False])
async def test_a_session_that_began_while_the_password_was_set_ends_as_well(
    post: Post, rows: Rows, database_url: str, forgotten: bool
) -> None:
    person = await post.register()
    bearer, token = await post.bearer(person), await post.token(person)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    async with signing_in(person, database_url) as session_id:
        setting = post.reset(token) if forgotten else post.ask("change", body, Authorization=bearer)
        task = asyncio.create_task(setting)
    await task
    assert await post.me(bearer) == (401 if forgotten else 200)
    (session,) = await rows("SELECT revoked_at FROM sessions WHERE id = %s", session_id)
    assert session["revoked_at"] is not None
    assert (await post.log_in(person, NEW_PASSWORD)).status_code == 200


async def test_guessing_the_password_with_a_stolen_session_is_limited(deploy: Deploy) -> None:
    parley = await deploy(rate_limits={"reset": 2})
    thief = await someone(parley)
    body = {"current_password": "guess", "new_password": NEW_PASSWORD}
    asked = [await thief.ask("POST", "/auth/password/change", json=body) for _ in range(3)]
    assert asked[2].status_code == 429


async def test_a_token_whose_session_ended_counts_for_nobody(deploy: Deploy, rows: Rows) -> None:
    parley = await deploy(rate_limits={"reset": 2})
    owner = await someone(parley)
    assert (await owner.ask("DELETE", "/auth/sessions")).status_code == 200
    body = {"current_password": "guess", "new_password": NEW_PASSWORD}
    asked = [await owner.ask("POST", "/auth/password/change", json=body) for _ in range(3)]
    assert [answer.status_code for answer in asked] == [401, 401, 401]
    assert await rows("SELECT 1 FROM rate_limits WHERE key = %s", f"reset:user:{owner.id}") == []


async def test_a_program_changes_no_password(post: Post) -> None:
    owner = await someone(post.parley)
    program = await owner.key("chat", "read")
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    response = await program.ask("POST", "/auth/password/change", json=body)
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
