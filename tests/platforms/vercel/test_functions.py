"""Each built function at work: an answer that means something, a stream piece by piece, and an end on demand."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.doubles.mail_server import MailServer
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.fixtures.web import INTERNAL_KEY, PASSWORD, Rows, question
from tests.platforms.processes import farewell
from tests.platforms.vercel.build import Output
from tests.platforms.vercel.conftest import Start
from tests.platforms.vercel.process import Running
from tests.platforms.vercel.routes import function_of

GRACE = 0.5
"""Seconds that Vercel leaves a function once it has told it to end."""

CRON_SECRET = "secret-of-the-schedule-0123456789abcd"

PIECES = ("One", " two", " three", " four")


async def register_and_log_in(client: httpx.AsyncClient) -> dict[str, Any]:
    account = {"email": f"{uuid4()}@example.com", "password": PASSWORD}
    registered = await client.post("/api/v1/auth/register", json=account)
    assert registered.status_code == 201, registered.text
    logged_in = await client.post("/api/v1/auth/login", json=account)
    assert logged_in.json()["user_id"] == registered.json()["id"]
    cookie = logged_in.headers["set-cookie"]
    assert cookie.startswith("__Host-access_token=")
    assert {"HttpOnly", "Secure", "SameSite=strict"} <= set(cookie.split("; "))
    return registered.json()


async def test_accounts_are_made_and_signed_in(start: Start) -> None:
    auth = await start("/api/v1/auth/register")
    await register_and_log_in(auth.client)


async def test_a_mail_leaves_after_the_answer_to_whoever_asked_for_it(start: Start) -> None:
    async with MailServer() as server:
        mail = {"SMTP_URL": server.url, "MAIL_FROM": "parley@example.com", "PUBLIC_URL": "https://chat.example.com"}
        auth = await start("/api/v1/auth/password/forgot", **mail)
        account = {"email": f"{uuid4()}@example.com", "password": PASSWORD}
        assert (await auth.client.post("/api/v1/auth/register", json=account)).status_code == 201
        server.hold()
        asked = await auth.client.post("/api/v1/auth/password/forgot", json={"email": account["email"]})
        assert (asked.status_code, server.mails) == (202, [])
        server.release()
        await server.mails_to(account["email"])


async def test_an_exchange_had_elsewhere_is_kept(start: Start, rows: Rows) -> None:
    auth, conversations = await start("/api/v1/auth/x"), await start("/api/v1/conversations/x")
    user = await register_and_log_in(auth.client)
    saved = await conversations.client.post(
        "/api/v1/conversations/internal-save",
        json={"user_id": user["id"], "query": "Who dances?", "response": "Bees do."},
        headers={"X-Internal-API-Key": INTERNAL_KEY},
    )
    assert (saved.status_code, saved.json()["saved"]) == (201, True), saved.text
    said = await rows(
        "SELECT parts #>> '{0,text}' AS text FROM messages WHERE id = %s", UUID(saved.json()["message_id"])
    )
    assert said == [{"text": "Bees do."}]


async def test_a_whole_turn_is_answered_and_saved(start: Start, openai_double: OpenAIServer, rows: Rows) -> None:
    openai_double.play(Script(pieces=PIECES))
    chat = await start("/api/v1/chat")
    answered = await chat.client.post("/api/v1/chat", json=question("Count"))
    answer = answered.json()["response"]
    assert (answer["content"], answer["saved"], answer["model"]) == ("".join(PIECES), True, "double-1")
    said = await rows("SELECT status FROM messages WHERE id = %s", UUID(answer["message_id"]))
    assert said == [{"status": "complete"}]


async def test_health_says_that_the_function_runs(start: Start) -> None:
    health = await start("/health/")
    assert (await health.client.get("/health/")).json()["status"] == "ok"


async def test_metrics_are_told_to_whoever_holds_the_internal_key(start: Start) -> None:
    health = await start("/metrics/prometheus")
    assert (await health.client.get("/metrics/prometheus")).status_code == 401
    told = await health.client.get("/metrics/prometheus", headers={"X-Internal-API-Key": INTERNAL_KEY})
    assert told.headers["content-type"].startswith("text/plain")
    assert "# TYPE parley_" in told.text


async def test_a_schedule_reaps_the_answers_of_killed_functions(start: Start) -> None:
    jobs = await start("/api/v1/jobs/reap", CRON_SECRET=CRON_SECRET)
    assert (await jobs.client.get("/api/v1/jobs/reap")).status_code == 401
    reaped = await jobs.client.get("/api/v1/jobs/reap", headers={"Authorization": f"Bearer {CRON_SECRET}"})
    assert reaped.status_code == 200, reaped.text
    assert reaped.json().keys() == {"reaped"}


async def test_a_stream_arrives_piece_by_piece(start: Start, openai_double: OpenAIServer) -> None:
    gate = asyncio.Semaphore(0)
    openai_double.play(Script(pieces=PIECES, gate=gate))
    stream = await start("/api/v1/chat/stream")
    seen: list[str] = []
    gate.release()
    async for frame in ask(stream, "Count"):
        if frame["status"] == "partial":
            seen.append(frame["content"])
            assert openai_double.calls[0].sent == len(seen)
            gate.release()  # the model writes on only now, so nothing may have waited for more
        else:
            assert (frame["status"], frame["content"], frame["saved"]) == ("success", "".join(PIECES), True)
    assert seen == list(PIECES)


async def ask(function: Running, content: str) -> AsyncGenerator[dict[str, Any]]:
    """Stream an answer's frames as they come."""
    async with function.client.stream("POST", "/api/v1/chat/stream", json=question(content)) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line:
                yield json.loads(line.removeprefix("data: "))


async def test_a_stream_that_is_told_to_end_ends_in_time_and_keeps_what_arrived(
    start: Start, openai_double: OpenAIServer, rows: Rows
) -> None:
    gate = asyncio.Semaphore(1)
    openai_double.play(Script(pieces=PIECES, gate=gate))
    stream = await start("/api/v1/chat/stream")
    content = f"Count, {uuid4()}"
    frames = ask(stream, content)
    assert (await anext(frames))["content"] == PIECES[0]
    seconds = await farewell(stream.process)
    assert seconds < GRACE
    with pytest.raises(httpx.RemoteProtocolError):
        await anext(frames)
    assert await answer_to(rows, content) == [{"status": "interrupted", "text": PIECES[0]}]


async def test_a_whole_turn_that_is_told_to_end_ends_in_time_and_says_so(
    start: Start, openai_double: OpenAIServer, rows: Rows
) -> None:
    openai_double.play(Script(pieces=PIECES, gate=asyncio.Semaphore(0)))
    chat = await start("/api/v1/chat")
    content = f"Count, {uuid4()}"
    asking = asyncio.create_task(chat.client.post("/api/v1/chat", json=question(content)))
    await openai_double.next_call()
    seconds = await farewell(chat.process)
    assert seconds < GRACE
    answered = await asking
    assert (answered.status_code, answered.json()["code"]) == (503, "interrupted")
    assert await answer_to(rows, content) == [{"status": "interrupted", "text": ""}]


async def answer_to(rows: Rows, content: str) -> list[dict[str, Any]]:
    return await rows(
        "SELECT a.status, coalesce(a.parts #>> '{0,text}', '') AS text FROM messages q"
        " JOIN messages a ON a.conversation_id = q.conversation_id AND a.role = 'assistant'"
        " WHERE q.parts #>> '{0,text}' = %s",
        content,
    )


@pytest.mark.parametrize(
    "path", ["/api/v1/auth/x", "/api/v1/conversations/x", "/api/v1/chat", "/api/v1/jobs/x", "/health/"]
)
async def test_an_idle_function_that_is_told_to_end_ends_in_time(start: Start, path: str) -> None:
    function = await start(path)
    assert await farewell(function.process) < GRACE


async def test_the_platform_is_told_when_a_request_begins_and_ends(start: Start) -> None:
    health = await start("/health/")
    invocation = {"x-vercel-internal-invocation-id": "inv-1", "x-vercel-internal-request-id": "7"}
    await health.client.get("/health/", headers=invocation)
    context = {"invocationId": "inv-1", "requestId": 7}
    assert await health.told("handler-started", context)
    assert await health.told("end", context)


async def test_no_function_writes_into_its_folder(output: Output, start: Start) -> None:
    # On Vercel it cannot: the folder is read-only.
    function = output.functions[function_of(output.config, "/api/v1/chat")]
    before = {path: path.stat().st_mtime_ns for path in function.folder.rglob("*")}
    chat = await start("/api/v1/chat")
    assert (await chat.client.post("/api/v1/chat", json=question("Count"))).status_code == 200
    assert {path: path.stat().st_mtime_ns for path in function.folder.rglob("*")} == before
