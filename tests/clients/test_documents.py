"""Clients of two documents, unchanged: each request that is shown is sent as it stands, and answered as it is shown.

`team.txt` is of the team chat over n8n, `flow.txt` of Chatflow: their requests, and what they show of the answers.
"""

import json
from typing import Any, Final

import httpx
import pytest

from tests.clients.blocks import Client, Section, missing, sections
from tests.clients.workflow import GREETING, Workflow
from tests.fixtures.pictures import PNG
from tests.fixtures.web import Deploy, Deployment, Rows, frames

TEAM: Final = sections("team.txt", under="## API Endpoints")
N8N: Final = sections("team.txt", under="## n8n Webhook Configuration")[""]
BY_HAND: Final = sections("team.txt", under="## Testing")
FLOW: Final = sections("flow.txt", under="## Usage Examples")

TEAM_ID: Final = "550e8400-e29b-41d4-a716-446655440001"
AGENT_ID: Final = "550e8400-e29b-41d4-a716-446655440002"
"""The ids of the document's examples."""


def right(answer: httpx.Response, shown: Section | None = None) -> Any:
    """Return the JSON of an answer that succeeded and has at least the fields that are shown."""
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    if not answer.content:
        return None
    got = answer.json()
    if shown is not None:
        assert missing(shown.answer, got) == [], answer.text
    return got


async def test_the_team_documents_requests_work_as_they_stand(
    parley: Deployment, rows: Rows, workflow: Workflow
) -> None:
    client = Client.of(parley.url)
    await rows("INSERT INTO teams (id, name, slug) VALUES (%s, 'Test Team', 'test-team')", TEAM_ID)

    account = right(await client.http(TEAM["Register User"].block("http")), TEAM["Register User"])
    assert (account["team_id"], account["role"], account["is_active"]) == (TEAM_ID, "user", True)

    signed_in = await client.http(TEAM["Login"].block("http"))
    assert right(signed_in)["message"] == "Login successful"
    cookies = {cookie.split("=")[0]: cookie for cookie in signed_in.headers.get_list("set-cookie")}
    assert set(cookies) == {"access_token", "refresh_token"}
    assert all("HttpOnly" in cookie and "samesite=strict" in cookie.lower() for cookie in cookies.values())
    token = {"<jwt_token>": signed_in.cookies["access_token"]}

    me = right(await client.http(TEAM["Get Current User"].block("http"), token), TEAM["Get Current User"])
    assert (me["email"], me["full_name"], me["avatar"], me["preferences"]) == ("user@example.com", "John Doe", None, {})

    create = TEAM["Create Agent (Admin Only)"].block("http")
    refused = await client.http(create, token)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    await rows("UPDATE users SET role = 'admin' WHERE email = 'user@example.com'")

    agent = right(await client.http(create, token))
    shown = TEAM["List Agents"].answer[0]
    assert missing(shown, agent) == []
    assert (agent["webhook_token"], agent["created_by"]) == ("secret_token_123", account["id"])
    (listed,) = right(await client.http(TEAM["List Agents"].block("http"), token), TEAM["List Agents"])
    assert (listed["id"], listed["webhook_url"], listed["config"]["temperature"]) == (
        agent["id"],
        "https://n8n.example.com/webhook/support-bot",
        0.7,
    )
    assert "secret_token_123" not in json.dumps(listed)

    this_agent = token | {"{agent_id}": agent["id"]}
    updated = right(await client.http(TEAM["Update Agent (Admin Only)"].block("http"), this_agent))
    assert missing(shown, updated) == []
    assert (updated["name"], updated["is_active"]) == ("Support Bot Updated", False)
    assert right(await client.http(TEAM["List Agents"].block("http"), token)) == []
    avatar = TEAM["Upload Agent Avatar (Admin Only)"].block("http")
    pictured = right(await client.http(avatar, this_agent, files={"file": ("bot.png", PNG, "image/png")}))
    assert pictured["avatar"].startswith("data:image/png;base64,")
    right(await client.http(TEAM["Delete Agent (Admin Only)"].block("http"), this_agent))

    agent = right(await client.http(create, token))
    await point_at(client, agent["id"], workflow, token)
    new_chat = token | {AGENT_ID: agent["id"]}
    chat = right(await client.http(TEAM["Create Chat"].block("http"), new_chat))
    shown_chat = TEAM["List Chats"].answer[0]
    assert missing(shown_chat | {"messages": []}, chat) == []
    assert (chat["title"], chat["metadata"], chat["agent_id"], chat["user_id"], chat["messages"]) == (
        "Support Request",
        {"tags": ["support"]},
        agent["id"],
        account["id"],
        [],
    )

    this_chat = token | {"{chat_id}": chat["id"]}
    sent = await client.http(TEAM["Send Message and Stream Response"].block("http"), this_chat)
    assert_streamed(sent)
    assert workflow.tokens == ["Bearer secret_token_123"]
    assert [message["content"] for message in workflow.bodies[0]["messages"]] == [
        "Hello, I need help with my account",
    ]

    (of_list,) = right(await client.http(TEAM["List Chats"].block("http"), token), TEAM["List Chats"])
    read = right(await client.http(TEAM["Get Chat"].block("http"), this_chat))
    for each in (of_list, read):
        assert missing(shown_chat, each) == []
        assert [(message["role"], message["content"]) for message in each["messages"]] == [
            ("user", "Hello, I need help with my account"),
            ("assistant", "".join(GREETING)),
        ]
    renamed = right(await client.http(TEAM["Update Chat"].block("http"), this_chat))
    assert missing(shown_chat, renamed) == []
    assert (renamed["title"], renamed["is_archived"]) == ("Updated Support Request", False)
    right(await client.http(TEAM["Delete Chat"].block("http"), this_chat))
    assert right(await client.http(TEAM["List Chats"].block("http"), token)) == []


async def point_at(client: Client, agent_id: str, workflow: Workflow, token: dict[str, str]) -> None:
    """Have an agent of the document's call a workflow that there is."""
    headers = {"Cookie": f"access_token={token['<jwt_token>']}"}
    body = {"webhook_url": workflow.url, "webhook_token": "secret_token_123"}
    async with httpx.AsyncClient(base_url=client.url, headers=headers) as browser:
        right(await browser.put(f"/api/agents/{agent_id}", json=body))


def assert_streamed(answer: httpx.Response) -> None:
    """Hold a stream against the document's: statuses, the pieces one by one, and the end."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    shown = frames(TEAM["Send Message and Stream Response"].block("", 0))
    got = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    kinds = [frame["type"] for frame in got]
    assert kinds == ["status"] * kinds.count("status") + ["message"] * kinds.count("message") + ["done"], kinds
    assert kinds[0] == "status"
    examples = {frame["type"]: frame for frame in shown}
    assert [fault for frame in got for fault in missing(examples[frame["type"]], frame)] == []
    assert "".join(frame["data"]["content"] for frame in got if frame["type"] == "message") == "".join(GREETING)
    assert got[-1]["data"]["message"] == "Stream completed"


@pytest.mark.parametrize("whole", [False, True], ids=["streamed", "whole"])
async def test_the_team_documents_curl_commands_work_as_they_stand(
    deploy: Deploy, rows: Rows, workflow: Workflow, whole: bool
) -> None:
    workflow.whole = whole
    parley = await deploy(webhook_allowed_hosts=("podcast-n8n", "127.0.0.1"))
    client = Client.of(parley.url)
    await rows(BY_HAND["Create a Team (via psql)"].block("sql"))
    (team,) = await rows("SELECT id FROM teams WHERE slug = 'test-team'")

    right(await client.curl(BY_HAND["Register a User"].block("bash"), {"<team_uuid_from_above>": str(team["id"])}))
    assert right(await client.curl(BY_HAND["Login"].block("bash")))["message"] == "Login successful"
    make_agent = BY_HAND["Create Agent (must set user to admin role first)"]
    await rows(make_agent.block("sql"))
    agent = right(await client.curl(make_agent.block("bash")))
    assert (agent["webhook_url"], agent["webhook_token"]) == ("http://podcast-n8n:5678/webhook/test", None)
    await point_at(client, agent["id"], workflow, {"<jwt_token>": client.jar["access_token"]})
    chat = right(await client.curl(BY_HAND["Create Chat"].block("bash"), {"<agent_uuid_from_above>": agent["id"]}))
    assert chat["title"] == "Test Chat"
    send = BY_HAND["Send Message (Streaming)"].block("bash")
    for _ in range(2):
        assert_streamed(await client.curl(send, {"<chat_uuid>": chat["id"]}))
    first, second = workflow.bodies
    assert missing(N8N.answer, second) == []
    assert {name: first[name] for name in ("system_prompt", "config")} == {
        "system_prompt": "You are a helpful assistant.",
        "config": {"model": "gpt-4", "temperature": 0.7},
    }
    asked, answered = ("user", "Hello, how are you?"), ("assistant", "".join(GREETING))
    assert [(message["role"], message["content"]) for message in first["messages"]] == [asked]
    assert [(message["role"], message["content"]) for message in second["messages"]] == [asked, answered, asked]


async def test_the_flow_documents_requests_work_as_they_stand(parley: Deployment) -> None:
    client = Client.of(parley.url)
    account = right(await client.curl(FLOW["Register User"].block("bash")))
    assert (account["email"], account["full_name"]) == ("user@example.com", "John Doe")
    tokens = right(await client.curl(FLOW["Login"].block("bash")))
    assert tokens["token_type"] == "bearer"

    send = FLOW["Send Message (Streaming)"].block("bash")
    streamed = await client.curl(send, {"<your-jwt-token>": tokens["access_token"]})
    assert streamed.status_code == 200, streamed.text
    events = [
        dict(line.split(": ", 1) for line in event.splitlines()) for event in streamed.text.split("\n\n") if event
    ]
    assert all(set(event) == {"event", "data", "id"} for event in events), streamed.text
    assert (events[0]["event"], events[-1]["event"]) == ("started", "finished")
    said = json.loads(events[-1]["data"])["text"]
    assert said == "".join(json.loads(event["data"])["text"] for event in events if event["event"] == "text")

    # The rest of its list of endpoints, of which it shows no more than method and path.
    async with httpx.AsyncClient(
        base_url=parley.url, headers={"Authorization": f"Bearer {tokens['access_token']}"}, timeout=30
    ) as browser:
        assert right(await browser.get("/auth/me"))["email"] == "user@example.com"
        by_json = {"email": "user@example.com", "password": "securepassword123"}
        assert right(await browser.post("/auth/login-json", json=by_json))["token_type"] == "bearer"

        (begun,) = right(await browser.get("/conversations"))
        assert begun["title"] == "Hello, how are you?"
        whole = right(
            await browser.post("/conversations/chat", json={"message": "And now?", "conversation_id": begun["id"]})
        )
        assert said in json.dumps(whole)
        read = right(await browser.get(f"/conversations/{begun['id']}"))
        assert [message["content"] for message in read["messages"]] == ["Hello, how are you?", said, "And now?", said]

        made = right(await browser.post("/conversations", json={"title": "By hand"}))
        assert [each["title"] for each in right(await browser.get("/conversations"))] == ["By hand", begun["title"]]
        right(await browser.delete(f"/conversations/{made['id']}"))
        gone = await browser.get(f"/conversations/{made['id']}")
        assert (gone.status_code, gone.json()["code"]) == (404, "conversation_not_found")
        assert right(await browser.get("/conversations/tools/available"))["tools"] == []
