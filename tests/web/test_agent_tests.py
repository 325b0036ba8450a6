"""The test of an agent, over HTTP: what came back and how it was understood."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.agents.trial import GREETING, MOST_TEXT
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.fixtures.people import Asker, someone
from tests.fixtures.web import Deploy, Deployment, Rows, serving

PATH: Final = "/api/v1/agents"
TOKEN: Final = "a-token-of-the-workflow"


class Workflow:
    """A webhook that answers as it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: Response | None = Response('{"output": "Hi there!"}', media_type="application/json")
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.left = asyncio.Event()
        self.url = ""

    async def __call__(self, request: Request) -> Response:
        self.asked.append((dict(request.headers), await request.json()))
        if self.answers is not None:
            return self.answers
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.left.set()
        return Response()


@pytest.fixture
async def workflow() -> AsyncGenerator[Workflow]:
    made = Workflow()
    async with serving(Starlette(routes=[Route("/webhook/test", made.__call__, methods=["POST"])])) as url:
        made.url = f"{url}/webhook/test"
        yield made


@pytest.fixture
async def admin(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, "admin", team_id=team_id)


async def made(admin: Asker, **fields: Any) -> str:
    """Make an agent, and return the path of its test."""
    answer = await admin.ask("POST", PATH, json={"name": "Tested"} | fields)
    assert answer.status_code == 201, answer.text
    return f"{PATH}/{answer.json()['id']}/test"


async def tried(admin: Asker, path: str, **body: Any) -> dict[str, Any]:
    answer = await admin.ask("POST", path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_webhook_that_answers(admin: Asker, workflow: Workflow) -> None:
    path = await made(
        admin,
        webhook_url=workflow.url,
        webhook_token=TOKEN,
        system_prompt="Be kind.",
        config={"model": "gpt-4", "voice": "calm"},
    )
    trial = await tried(admin, path, message="Are you there?")
    assert trial.pop("total_ms") >= trial.pop("first_token_ms") >= 0
    assert trial == {
        "ok": True,
        "text": "Hi there!",
        "model": "gpt-4",
        "shape": "object",
        "status": 200,
        "content_type": "application/json",
        "excerpt": '{"output": "Hi there!"}',
        "usage": None,
        "error": None,
    }
    ((headers, body),) = workflow.asked
    assert headers["authorization"] == f"Bearer {TOKEN}"
    (message,) = body["messages"]
    assert (message["role"], message["content"]) == ("user", "Are you there?")
    assert (body["system_prompt"], body["config"]) == ("Be kind.", {"model": "gpt-4", "voice": "calm"})


async def test_without_a_message_it_is_a_greeting(admin: Asker, workflow: Workflow) -> None:
    path = await made(admin, webhook_url=workflow.url)
    assert (await admin.ask("POST", path)).json()["ok"]
    assert (await tried(admin, path))["ok"]
    assert [body["messages"][0]["content"] for _, body in workflow.asked] == [GREETING, GREETING]


@pytest.mark.parametrize(
    ("answer", "code", "shape"),
    [
        (Response(""), "webhook_empty", "empty"),
        (Response('{"message": "Error in workflow"}', 500), "webhook_failed", "error"),
        (Response("Authorization data is wrong!", 403), "webhook_refused", "error"),
        (Response('{"code": 404, "message": "not registered"}', 404), "webhook_refused", "error"),
        (Response("<!DOCTYPE html><html>Bad gateway</html>", 502, media_type="text/html"), "webhook_failed", "html"),
        (Response('{"type":"error","metadata":{}}', media_type="application/json"), "webhook_failed", "error"),
        (Response(None, 302, {"Location": "http://169.254.169.254/"}), "webhook_failed", "error"),
    ],
    ids=["empty", "500", "403", "404", "page", "error as 200", "redirect"],
)
async def test_a_webhook_that_fails_is_told_of_and_asked_once(
    admin: Asker, workflow: Workflow, answer: Response, code: str, shape: str
) -> None:
    workflow.answers = answer
    trial = await tried(admin, await made(admin, webhook_url=workflow.url))
    assert (trial["ok"], trial["text"], trial["first_token_ms"]) == (False, "", None)
    assert (trial["error"]["code"], trial["shape"]) == (code, shape)
    assert trial["error"]["detail"]
    assert (trial["status"], trial["excerpt"]) == (answer.status_code, bytes(answer.body).decode())
    assert len(workflow.asked) == 1


async def test_the_token_is_not_repeated_when_the_webhook_does(admin: Asker, workflow: Workflow) -> None:
    workflow.answers = Response(f'{{"error": "wrong token {TOKEN}"}}', 500)
    answer = await admin.ask("POST", await made(admin, webhook_url=workflow.url, webhook_token=TOKEN))
    assert "wrong token" in answer.json()["excerpt"]
    assert TOKEN not in answer.text


async def test_a_webhook_that_is_not_there(admin: Asker) -> None:
    trial = await tried(admin, await made(admin, webhook_url="http://127.0.0.1:9/webhook/test"))
    assert trial["error"]["code"] == "webhook_failed"
    assert [trial[name] for name in ("ok", "shape", "status", "content_type", "excerpt")] == [
        False,
        None,
        None,
        None,
        None,
    ]


async def test_a_silent_webhook_is_given_up_after_the_time_of_a_turn(
    admin: Asker, deploy: Deploy, workflow: Workflow
) -> None:
    workflow.answers = None
    path = await made(admin, webhook_url=workflow.url)
    trial = await tried(admin.at(await deploy(agent_timeout=0.2)), path)
    assert trial["error"]["code"] == "provider_timeout"
    assert trial["total_ms"] >= 190
    await asyncio.wait_for(workflow.left.wait(), 10)
    assert len(workflow.asked) == 1


async def test_a_test_ends_when_whoever_asked_leaves(admin: Asker, workflow: Workflow) -> None:
    workflow.answers = None
    path = await made(admin, webhook_url=workflow.url)
    with pytest.raises(httpx.ReadTimeout):
        await admin.ask("POST", path, timeout=0.5)
    await asyncio.wait_for(workflow.left.wait(), 10)


async def test_a_long_answer_is_reported_in_part(admin: Asker, workflow: Workflow) -> None:
    workflow.answers = Response(json.dumps({"content": "x" * (MOST_TEXT + 1000)}))
    trial = await tried(admin, await made(admin, webhook_url=workflow.url))
    assert (trial["ok"], trial["text"]) == (True, "x" * MOST_TEXT)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b'{"output": "a\\ud800b"}', "a?b"),
        (b'{"output": "a\\u0000b"}', "ab"),
        (b"a\xffb", "a\ufffdb"),
    ],
    ids=["half a surrogate pair", "NUL", "no UTF-8"],
)
async def test_what_no_text_can_hold_is_left_out(admin: Asker, workflow: Workflow, answer: bytes, text: str) -> None:
    workflow.answers = Response(answer)
    trial = await tried(admin, await made(admin, webhook_url=workflow.url))
    assert (trial["ok"], trial["text"], trial["excerpt"]) == (True, text, answer.decode(errors="replace"))


@pytest.mark.parametrize(("status", "ok"), [(200, True), (500, False)])
async def test_a_content_type_that_is_no_text_is_told_as_far_as_it_is(
    admin: Asker, workflow: Workflow, status: int, ok: bool
) -> None:
    workflow.answers = Response(b"Hello", status)
    workflow.answers.raw_headers.append((b"content-type", b"text/plain; charset=\xff"))
    trial = await tried(admin, await made(admin, webhook_url=workflow.url))
    assert (trial["ok"], trial["content_type"]) == (ok, "text/plain; charset=?")


async def test_a_model_of_the_deployments(admin: Asker, openai_double: OpenAIServer) -> None:
    openai_double.play(Script(pieces=("Hello", " there"), usage=(7, 2)))
    path = await made(admin, model="other-1", system_prompt="Be kind.", config={"temperature": 0.5, "retrieval": False})
    trial = await tried(admin, path, message="Hm?")
    assert trial.pop("total_ms") >= trial.pop("first_token_ms") >= 0
    assert trial == {
        "ok": True,
        "text": "Hello there",
        "model": "other-1",
        "shape": None,
        "status": None,
        "content_type": None,
        "excerpt": None,
        "usage": {"input_tokens": 7, "output_tokens": 2},
        "error": None,
    }
    (call,) = openai_double.calls
    assert (call.body["model"], call.body["temperature"]) == ("other-1", 0.5)
    assert call.body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hm?"},
    ]


async def test_a_model_of_a_teams_own(admin: Asker, openai_double: OpenAIServer) -> None:
    path = await made(admin, base_url=openai_double.base_url, api_key="a-key-of-ours")
    assert (await tried(admin, path))["ok"]
    assert openai_double.calls[-1].headers["Authorization"] == "Bearer a-key-of-ours"


async def test_a_provider_that_the_deployment_has_not_is_told_of(admin: Asker) -> None:
    trial = await tried(admin, await made(admin, provider="gemini"))
    assert (trial["ok"], trial["model"], trial["error"]["code"]) == (False, None, "no_provider")


async def test_a_secret_of_another_seal_is_told_of(admin: Asker, deploy: Deploy, workflow: Workflow) -> None:
    path = await made(admin, webhook_url=workflow.url, webhook_token=TOKEN)
    trial = await tried(admin.at(await deploy(seal_key="another-sealing-key-of-the-tests-0123")), path)
    assert trial["error"]["code"] == "unsealable"
    assert workflow.asked == []


async def test_an_address_that_became_private_is_not_called(
    admin: Asker, deploy: Deploy, rows: Rows, workflow: Workflow, team_id: UUID
) -> None:
    path = await made(admin, webhook_url=workflow.url)
    strict = admin.at(await deploy(webhook_allowed_hosts=()))
    assert (await tried(strict, path))["error"]["code"] == "address_refused"
    assert workflow.asked == []
    hosts = json.dumps({"webhook_allowed_hosts": ["127.0.0.1"]})
    await rows("UPDATE teams SET settings = %s WHERE id = %s", hosts, team_id)
    assert (await tried(strict, path))["ok"]


async def test_nothing_is_stored_and_it_counts_as_a_chat(
    admin: Asker, deploy: Deploy, rows: Rows, workflow: Workflow, team_id: UUID
) -> None:
    path = await made(admin, webhook_url=workflow.url, is_active=False)
    counted = admin.at(await deploy(rate_limits={"chat": 2}))
    assert (await tried(counted, path))["ok"]
    assert (await tried(counted, path))["ok"]
    refused = await counted.ask("POST", path)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert len(workflow.asked) == 2
    for table in ("conversations", "messages", "interaction_logs"):
        assert await rows(f"SELECT 1 FROM {table} WHERE team_id = %s", team_id) == []  # noqa: S608


async def test_a_user_tests_nothing(admin: Asker, parley: Deployment, team_id: UUID, workflow: Workflow) -> None:
    path = await made(admin, webhook_url=workflow.url)
    user = await someone(parley, team_id=team_id)
    refused = await user.ask("POST", path)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for body in ({"message": ""}, {"message": "x" * 32_001}, {"model": "x"}, {"message": None}):
        assert (await admin.ask("POST", path, json=body)).status_code == 422
    assert workflow.asked == []
