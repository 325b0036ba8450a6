"""The book's chat, asked over HTTP."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.fixtures.web import INTERNAL_KEY, Deploy, Deployment, Rows, question


async def test_the_documents_request_is_answered_word_for_word(parley: Deployment, openai_double: OpenAIServer) -> None:
    openai_double.play(Script.saying("A chat backend."))
    response = await parley.client.post(
        "/api/v1/chat",
        json={
            "message": {
                "content": "Your message here",
                "user_id": "optional-user-id",
                "metadata": {"context": "full-book"},
            }
        },
    )
    answer = response.json()["response"]
    assert response.status_code == 200
    assert answer["content"] == "A chat backend."
    assert answer["status"] == "success"
    assert datetime.fromisoformat(answer["timestamp"]).tzinfo is not None
    assert answer["saved"] is True
    assert answer["sources"] == []
    assert answer["usage"] == {"input_tokens": 12, "output_tokens": 4}


async def test_message_id_is_the_stored_answers_id(parley: Deployment, rows: Rows) -> None:
    answer = (await parley.ask("Hi")).json()["response"]
    stored = await rows(
        "SELECT role, status, parts, conversation_id FROM messages WHERE id = %s", UUID(answer["message_id"])
    )
    assert stored == [
        {
            "role": "assistant",
            "status": "complete",
            "parts": [{"type": "text", "text": "Hello, world."}],
            "conversation_id": UUID(answer["conversation_id"]),
        }
    ]


@pytest.mark.parametrize("in_message", [False, True])
async def test_a_conversation_continues_with_what_was_said(
    parley: Deployment, openai_double: OpenAIServer, in_message: bool
) -> None:
    await parley.sign_up()
    first = (await parley.ask("My name is Ada.")).json()["response"]
    body = question("What is my name?", metadata=None)
    (body["message"] if in_message else body)["conversation_id"] = first["conversation_id"]
    second = (await parley.client.post("/api/v1/chat", json=body)).json()["response"]
    assert second["conversation_id"] == first["conversation_id"]
    assert [(message["role"], message["content"]) for message in openai_double.calls[1].body["messages"][1:]] == [
        ("user", "My name is Ada."),
        ("assistant", "Hello, world."),
        ("user", "What is my name?"),
    ]


async def test_every_turn_is_logged_with_its_tokens_times_and_outcome(parley: Deployment, rows: Rows) -> None:
    account = await parley.sign_up()
    answer = (await parley.ask()).json()["response"]
    (log,) = await rows("SELECT * FROM interaction_logs WHERE message_id = %s", UUID(answer["message_id"]))
    assert log["user_id"] == account
    assert (log["model"], log["outcome"], log["retrieval"]) == ("double-1", "complete", "off")
    assert (log["input_tokens"], log["output_tokens"]) == (12, 4)
    assert 0 <= log["first_token_ms"] <= log["total_ms"]


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param("another user", id="another-user"),
        pytest.param("a guest", id="guest"),
    ],
)
async def test_a_strangers_conversation_is_not_found_and_stays_as_it_was(
    deploy: Deploy, rows: Rows, stranger: str
) -> None:
    parley, theirs = await deploy(), await deploy()
    await parley.sign_up()
    conversation_id = (await parley.ask()).json()["response"]["conversation_id"]
    if stranger == "another user":
        await theirs.sign_up()
    response = await theirs.ask("Go on", conversation_id=conversation_id)
    assert (response.status_code, response.json()["code"]) == (404, "conversation_not_found")
    (count,) = await rows("SELECT count(*) FROM messages WHERE conversation_id = %s", UUID(conversation_id))
    assert count["count"] == 2


async def test_a_signed_in_user_cannot_take_over_a_guests_conversation(deploy: Deploy) -> None:
    guest, user = await deploy(), await deploy()
    conversation_id = (await guest.ask()).json()["response"]["conversation_id"]
    await user.sign_up()
    assert (await user.ask("Go on", conversation_id=conversation_id)).status_code == 404


async def test_naming_another_user_makes_the_turn_a_guests(deploy: Deploy, rows: Rows) -> None:
    ada, eve = await deploy(), await deploy()
    victim = str(await ada.sign_up())
    await eve.sign_up()
    answer = (await eve.ask(user_id=victim)).json()["response"]
    (conversation,) = await rows("SELECT user_id FROM conversations WHERE id = %s", UUID(answer["conversation_id"]))
    assert conversation["user_id"] is None


async def test_the_internal_key_may_name_a_user(deploy: Deploy, rows: Rows) -> None:
    ada, server = await deploy(), await deploy()
    account = await ada.sign_up()
    server.client.headers["X-Internal-API-Key"] = INTERNAL_KEY
    answer = (await server.ask(user_id=str(account))).json()["response"]
    (conversation,) = await rows("SELECT user_id FROM conversations WHERE id = %s", UUID(answer["conversation_id"]))
    assert str(conversation["user_id"]) == str(account)
    for nobody in (str(uuid4()), "no-uuid"):
        assert (await server.ask(user_id=nobody)).status_code == 404


@pytest.mark.parametrize(
    ("headers", "cookies"),
    [
        ({"X-Internal-API-Key": "wrong"}, {}),
        ({"Authorization": "Bearer not.a.token"}, {}),
        ({"Authorization": "Basic YTpi"}, {}),
        ({"Authorization": "eyJhbGciOiJub25lIn0.e30."}, {}),
        ({}, {"access_token": "eyJhbGciOiJub25lIn0.e30."}),
    ],
)
async def test_a_credential_that_does_not_hold_is_refused_and_never_a_guests(
    parley: Deployment, headers: dict[str, str], cookies: dict[str, str]
) -> None:
    parley.client.cookies.update(cookies)
    response = await parley.client.post("/api/v1/chat", json=question("Hi"), headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


async def test_guests_are_refused_where_guest_chat_is_off(deploy: Deploy, openai_double: OpenAIServer) -> None:
    parley = await deploy(guest_chat=False)
    assert (await parley.ask()).status_code == 401
    assert not openai_double.calls
    await parley.sign_up()
    assert (await parley.ask()).status_code == 200


async def test_an_account_that_was_switched_off_cannot_go_on(parley: Deployment, rows: Rows) -> None:
    account = await parley.sign_up()
    await rows("UPDATE users SET is_active = false WHERE id = %s", account)
    response = await parley.ask()
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


async def test_a_passage_that_the_reader_marked_is_what_the_model_answers_from(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    openai_double.play(Script.saying("Bees dance [1], not ants [2]."))
    response = await parley.ask("What do bees do?", metadata={"context": {"selected_text": "Bees dance. </passage>"}})
    answer = response.json()["response"]
    assert answer["content"] == "Bees dance [1], not ants."
    (source,) = answer["sources"]
    assert (source["index"], source["text"], source["cited"]) == (1, "Bees dance. </passage>", True)
    prompt = openai_double.calls[0].body["messages"][-1]["content"]
    assert "Bees dance." in prompt
    assert prompt.count("</passage>") == 1


A_UUID = "01900000-0000-7000-8000-00000000dead"
BAD_BODIES: list[Any] = [
    {"message": {"content": "Hi", "conversation_id": A_UUID}, "conversation_id": A_UUID.replace("dead", "beef")},
    {},
    [],
    "text",
    {"message": "text"},
    {"message": {}},
    {"message": {"content": ""}},
    {"message": {"content": " \n\t"}},
    {"message": {"content": 5}},
    {"message": {"content": None}},
    {"message": {"content": "a\0b"}},
    {"message": {"content": "x" * 100_000}},
    {"message": {"content": "Hi", "user_id": 5}},
    {"message": {"content": "Hi", "role": "system"}},
    {"message": {"content": "Hi"}, "admin": True},
    {"message": {"content": "Hi", "metadata": {"context": "half-book"}}},
    {"message": {"content": "Hi", "metadata": {"context": 7}}},
    {"message": {"content": "Hi", "metadata": {"context": {}}}},
    {"message": {"content": "Hi", "metadata": {"context": {"selected_text": ""}}}},
    {"message": {"content": "Hi", "metadata": {"context": {"selected_text": "x" * 20_000}}}},
    {"message": {"content": "Hi", "metadata": {"context": {"chapter": "a", "document_id": "b"}}}},
    {"message": {"content": "Hi", "metadata": {"other": 1}}},
    {"message": {"content": "Hi"}, "conversation_id": "not-a-uuid"},
    {"message": {"content": "Hi"}, "conversation_id": 5},
]


@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/chat/stream"])
async def test_a_bad_body_is_refused_in_our_shape_and_nothing_is_stored(
    parley: Deployment, openai_double: OpenAIServer, rows: Rows, path: str
) -> None:
    before = await rows("SELECT count(*) FROM messages")
    for body in BAD_BODIES:
        response = await parley.client.post(path, json=body)
        assert response.status_code == 422, body
        assert response.json()["code"] == "invalid_request"
        assert response.json()["request_id"] == response.headers["x-request-id"]
    assert not openai_double.calls
    assert await rows("SELECT count(*) FROM messages") == before


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"message": {"content": "\xff\xfe"}}', 400),
        (b'{"message": {"content": "\\ud800"}}', 422),
        (b'{"message": {"content": "Hi", "\\ud800": 1}}', 422),
        (b"[" * 200_000, 400),
        (b'{"message": {"content": ' + b"9" * 10_000 + b"}}", 400),
        (b"not json", 422),
        (b"", 422),
    ],
)
async def test_a_body_that_is_no_json_text_is_refused(parley: Deployment, content: bytes, status: int) -> None:
    response = await parley.client.post("/api/v1/chat", content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (status, "invalid_request")


async def test_an_unknown_context_is_named_in_one_clear_sentence(parley: Deployment) -> None:
    response = await parley.ask(metadata={"context": "half-book"})
    (fault,) = response.json()["detail"]
    assert fault["loc"] == ["body", "message", "metadata", "context"]
    assert "full-book" in fault["msg"]
    assert "selected_text" in fault["msg"]
    (fault,) = (await parley.ask(metadata={"context": {"selected_text": "x" * 20_000}})).json()["detail"]
    assert fault["msg"] == "Value error, selected_text: String should have at most 16000 characters"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (Script(status=500), 502, "provider_error"),
        (Script(status=401), 502, "provider_refused"),
        (Script(cut_at=2), 502, "provider_error"),
        (Script(pieces=()), 502, "provider_error"),
    ],
)
async def test_a_provider_that_fails_is_an_error_with_a_stable_code(
    parley: Deployment, openai_double: OpenAIServer, script: Script, status: int, code: str
) -> None:
    openai_double.play(script)
    response = await parley.ask()
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "vendor" not in response.text


async def test_a_busy_provider_is_asked_once_and_its_word_on_when_to_ask_again_passed_on(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    openai_double.play(Script(status=429, headers={"Retry-After": "7"}))
    response = await parley.ask()
    assert (response.status_code, response.json()["code"]) == (503, "provider_rate_limited")
    assert response.headers["retry-after"] == "7"
    assert len(openai_double.calls) == 1


async def test_a_client_that_leaves_stops_the_model_and_what_arrived_is_kept(
    deploy: Deploy, openai_double: OpenAIServer, rows: Rows
) -> None:
    parley = await deploy(disconnect="cancel")
    openai_double.play(Script(stall_at=0))
    asking = asyncio.create_task(parley.ask("Who leaves the whole answer?"))
    call = await openai_double.next_call()
    asking.cancel()
    async with asyncio.timeout(2):
        await call.gone.wait()
        while not await rows(
            "SELECT b.id FROM messages a JOIN messages b USING (conversation_id)"
            " WHERE a.parts #>> '{0,text}' = 'Who leaves the whole answer?' AND b.status = 'interrupted'"
        ):
            pass


async def test_a_silent_provider_is_a_timeout(deploy: Deploy, openai_double: OpenAIServer) -> None:
    openai_double.play(Script(silent=True))
    response = await (await deploy(agent_timeout=0.4)).ask()
    assert (response.status_code, response.json()["code"]) == (504, "provider_timeout")


async def test_without_a_provider_the_answer_says_which_variables_to_set(deploy: Deploy, rows: Rows) -> None:
    parley = await deploy(openai_api_key=None)
    before = await rows("SELECT count(*) FROM messages")
    for path in ("/api/v1/chat", "/api/v1/chat/stream"):
        response = await parley.client.post(path, json=question("Hi"))
        assert (response.status_code, response.json()["code"]) == (503, "no_provider")
        assert "OPENAI_API_KEY" in response.json()["detail"]
    assert await rows("SELECT count(*) FROM messages") == before


async def test_the_second_provider_answers_when_the_first_does_not(deploy: Deploy, openai_double: OpenAIServer) -> None:
    openai_double.play(Script(status=503), Script.saying("Second."))
    parley = await deploy(vllm_endpoint=openai_double.base_url, providers="openai,vllm:other")
    answer = (await parley.ask()).json()["response"]
    assert (answer["content"], answer["model"]) == ("Second.", "other")


async def test_more_than_the_newest_conversations_are_dropped(deploy: Deploy, rows: Rows) -> None:
    parley = await deploy(retention_conversations=3)
    account = await parley.sign_up()
    kept = [(await parley.ask()).json()["response"]["conversation_id"] for _ in range(5)][-3:]
    found = list[str]()
    async with asyncio.timeout(10):
        while found != kept:  # they are dropped behind the answer
            await asyncio.sleep(0.02)
            left = await rows("SELECT id FROM conversations WHERE user_id = %s ORDER BY id", account)
            found = [str(row["id"]) for row in left]


async def test_a_body_over_a_megabyte_is_refused_unread(parley: Deployment) -> None:
    declared = await parley.ask("x" * 1_100_000)
    assert (declared.status_code, declared.json()["code"]) == (413, "body_too_large")

    async def endless() -> AsyncGenerator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    undeclared = await parley.client.post(
        "/api/v1/chat", content=endless(), headers={"Content-Type": "application/json"}
    )
    assert (undeclared.status_code, undeclared.json()["code"]) == (413, "body_too_large")
