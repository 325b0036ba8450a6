"""Each buffered function, invoked as Lambda does: by the official runtime client, out of the unpacked package."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest

from tests.doubles.gateways import GATEWAYS, Answer, Sent, http_api, received
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.runtime_api import FunctionError
from tests.fixtures.web import INTERNAL_KEY, PASSWORD, Rows, question
from tests.platforms.aws.build import Template
from tests.platforms.aws.conftest import CRON_KEY
from tests.platforms.aws.instance import Instance, instance
from tests.test_bundle import SERVERLESS

BUFFERED = [name for name, function in SERVERLESS["functions"].items() if "url" not in function]
JSON = ("Content-Type", "application/json")


class Start(Protocol):
    """Starts an instance of a function, with other variables or more of them."""

    async def __call__(self, function: str, **variables: str) -> Instance: ...


@pytest.fixture
async def start(
    root: Path, tmp_path: Path, template: Template, aws: dict[str, str], openai_double: OpenAIServer
) -> AsyncGenerator[Start]:
    """Start as many instances as a test wants, with the variables of the template; all end with it."""
    async with AsyncExitStack() as stack:

        async def start(function: str, **variables: str) -> Instance:
            deployed = template.function(function)
            everything = deployed["Environment"]["Variables"] | aws | {"OPENAI_BASE_URL": openai_double.base_url}
            folder = tmp_path / str(uuid4())
            folder.mkdir()
            started = instance(root, folder, deployed["Handler"], everything | variables)
            return await stack.enter_async_context(started)

        yield start


def sending(path: str, body: object, *headers: tuple[str, str]) -> Sent:
    return Sent("POST", path, headers=[JSON, *headers], body=json.dumps(body).encode())


async def ask(function: Instance, sent: Sent) -> Answer:
    return received(await function.invoke(http_api(sent)))


async def signed_in(auth: Instance) -> tuple[str, str]:
    """Register somebody and log them in; return the cookie that a browser would send then."""
    account = {"email": f"{uuid4()}@example.com", "password": PASSWORD}
    assert (await ask(auth, sending("/api/v1/auth/register", account))).status == 201
    answer = await ask(auth, sending("/api/v1/auth/login", account))
    assert answer.status == 200, answer
    cookie, _refresh = answer.cookies
    assert cookie.startswith("__Host-access_token=")
    return "Cookie", cookie.partition(";")[0]


async def test_a_user_signs_in_with_one_function_and_chats_with_another(
    start: Start, openai_double: OpenAIServer, rows: Rows
) -> None:
    cookie = await signed_in(await start("auth"))
    chat = await start("chat", TITLE_MODEL="off")  # a title is asked for beside the next turn, by a connection more
    for turn in ("First", "Second", "Third"):
        answer = await ask(chat, sending("/api/v1/chat", question(turn), cookie))
        said = json.loads(answer.body)["response"]
        assert answer.status == 200, answer
        assert said["saved"] is True
        stored = await rows("SELECT parts #>> '{0,text}' AS said FROM messages WHERE id = %s", said["message_id"])
        assert stored[0]["said"] == "Hello, world."
    assert openai_double.connections == 1
    assert openai_double.calls[0].headers["Authorization"] == "Bearer key"


async def test_a_guest_is_refused_in_production(start: Start) -> None:
    answer = await ask(await start("chat"), sending("/api/v1/chat", question("Hi")))
    assert (answer.status, json.loads(answer.body)["code"]) == (401, "unauthenticated")


async def test_a_server_with_the_internal_key_keeps_a_conversation(start: Start) -> None:
    account = {"email": f"{uuid4()}@example.com", "password": PASSWORD}
    registered = await ask(await start("auth"), sending("/api/v1/auth/register", account))
    exchange = {"user_id": json.loads(registered.body)["id"], "query": "Q", "response": "A"}
    conversations = await start("conversations")
    for key, status in ((INTERNAL_KEY, 201), ("another key", 401)):
        sent = sending("/api/v1/conversations/internal-save", exchange, ("X-Internal-API-Key", key))
        answer = await ask(conversations, sent)
        assert answer.status == status, answer


@pytest.mark.parametrize("path", ["/health", "/health/"])
async def test_health_is_told_with_and_without_a_slash(start: Start, path: str) -> None:
    answer = await ask(await start("health"), Sent(path=path))
    assert (answer.status, json.loads(answer.body)["status"]) == (200, "ok")


@pytest.mark.parametrize("name", BUFFERED)
async def test_one_warm_instance_takes_whatever_it_is_sent(start: Start, name: str) -> None:
    function = await start(name)
    refused: list[Any] = [None, [], {}, "text", {"job": 7}, {"requestContext": {}}]
    for event in refused:
        answer = received(await function.invoke(event))
        assert (answer.status, json.loads(answer.body)["code"]) == (400, "invalid_request"), event
    for event_of in GATEWAYS.values():
        answer = received(await function.invoke(event_of(Sent(path="/nowhere"))))
        assert (answer.status, json.loads(answer.body)["code"]) == (404, "not_found")
    assert function.process.returncode is None
    assert "Traceback" not in function.log.read_text()


async def test_what_the_schedule_sends_closes_what_a_killed_function_left(start: Start) -> None:
    jobs = await start("jobs")
    for _ in range(2):
        answer = received(await jobs.invoke({"job": "reap"}))
        assert (answer.status, list(json.loads(answer.body))) == (200, ["reaped"])


async def test_a_job_over_http_needs_the_secret(start: Start) -> None:
    jobs = await start("jobs")
    for headers, status in (((), 401), ((("Authorization", f"Bearer {CRON_KEY}"),), 200)):
        answer = await ask(jobs, Sent(path="/api/v1/jobs/reap", headers=headers))
        assert answer.status == status, answer


async def test_a_job_that_fails_is_an_error_to_lambda(start: Start) -> None:
    with pytest.raises(FunctionError, match=r"^JobFailed: unheard-of was answered 404$"):
        await (await start("jobs")).invoke({"job": "unheard-of"})


async def test_a_function_whose_secret_is_not_there_does_not_start_and_says_why(start: Start) -> None:
    function = await start("health", SECRETS_ID="parley/nowhere")
    complaint = r"^SettingsInvalid: SECRETS_ID cannot be read: AWS Secrets Manager answered ResourceNotFoundException$"
    with pytest.raises(FunctionError, match=complaint):
        await function.invoke(http_api(Sent(path="/health/")))
