"""Agents, over HTTP: the document's requests, who may see what, and secrets."""

import asyncio
import base64
import json
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from lib.agents.secrets import HIDDEN
from lib.files.images import LARGEST
from lib.store.agents import AVATARS_IN_A_LIST
from lib.web.agents import LONGEST_PROMPT
from lib.web.objects import DEEPEST, LONGEST
from lib.web.routes.agents import PREFIXES
from tests.fixtures.people import Asker, Found, someone
from tests.fixtures.pictures import KINDS, PNG, SVG, png
from tests.fixtures.web import Deploy, Deployment, Rows

PATH: Final = "/api/agents"
TOKEN: Final = "secret_token_123"
DOCUMENTS: Final[dict[str, Any]] = {
    "name": "Support Bot",
    "description": "Customer support assistant",
    "webhook_url": "https://n8n.example.com/webhook/support-bot",
    "webhook_token": TOKEN,
    "system_prompt": "You are a helpful customer support assistant.",
    "config": {"model": "gpt-4", "temperature": 0.7, "max_tokens": 2000},
}
"""The document's own agent, word for word."""
OWN_MODEL: Final[dict[str, Any]] = {
    "name": "Ours",
    "base_url": "https://models.example.com/v1",
    "api_key": "sk-0123456789abcdef",
    "model": "ours-1",
}
PRIVATE: Final = ("webhook_url", "webhook_token", "system_prompt", "base_url", "api_key")


@pytest.fixture
async def admin(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, "admin", team_id=team_id)


@pytest.fixture
async def user(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, team_id=team_id)


async def made(admin: Asker, **fields: Any) -> dict[str, Any]:
    """Make an agent, the document's but for what is named."""
    answer = await admin.ask("POST", PATH, json=DOCUMENTS | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def put(admin: Asker, agent: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Change an agent."""
    answer = await admin.ask("PUT", f"{PATH}/{agent['id']}", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def listed(asker: Asker, **query: Any) -> list[dict[str, Any]]:
    answer = await asker.ask("GET", PATH, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def names(asker: Asker, **query: Any) -> list[str]:
    return [agent["name"] for agent in await listed(asker, **query)]


async def told(rows: Rows, team_id: UUID) -> list[tuple[str, dict[str, Any]]]:
    """Return the security events about agents, oldest first."""
    found = await rows(
        "SELECT kind, detail FROM security_events WHERE team_id = %s AND kind LIKE 'agent_%%' ORDER BY id", team_id
    )
    return [(row["kind"], row["detail"]) for row in found]


# The document


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_documents_requests_work_word_for_word(admin: Asker, user: Asker, team_id: UUID, prefix: str) -> None:
    created = await admin.ask("POST", prefix, json=DOCUMENTS)
    assert created.status_code == 201, created.text
    agent = created.json()
    assert {name: agent[name] for name in DOCUMENTS} == DOCUMENTS
    assert (agent["team_id"], agent["created_by"]) == (str(team_id), str(admin.id))
    assert (agent["kind"], agent["avatar"], agent["is_active"]) == ("webhook", None, True)
    path = f"{prefix}/{agent['id']}"

    (shown,) = (await admin.ask("GET", prefix)).json()
    assert set(shown) >= {*DOCUMENTS, "id", "team_id", "created_by", "avatar", "is_active", "created_at", "updated_at"}
    assert shown == agent | {"webhook_token": f"{HIDDEN}_123"}
    assert (await admin.ask("GET", path)).json() == shown

    changes = {"name": "Support Bot Updated", "is_active": False}
    changed = await admin.ask("PUT", path, json=changes)
    assert changed.status_code == 200, changed.text
    assert changed.json() == shown | changes | {"updated_at": changed.json()["updated_at"]}
    assert changed.json()["updated_at"] > agent["updated_at"]
    assert (await user.ask("GET", prefix)).json() == []

    uploaded = await admin.ask("POST", f"{path}/avatar", files={"file": ("bot.png", PNG, "image/png")})
    assert uploaded.json()["avatar"] == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"

    deleted = await admin.ask("DELETE", path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await admin.ask("GET", path)).json()["code"] == "agent_not_found"


async def test_the_agent_that_the_document_makes_with_curl_is_taken_in_development(admin: Asker) -> None:
    new = {
        "name": "Test Agent",
        "description": "Test agent for development",
        "webhook_url": "http://podcast-n8n:5678/webhook/test",
        "system_prompt": "You are a helpful assistant.",
        "config": {"model": "gpt-4", "temperature": 0.7},
    }
    answer = await admin.ask("POST", PATH, json=new)
    assert answer.status_code == 201, answer.text
    assert {name: answer.json()[name] for name in new} == new
    assert answer.json()["webhook_token"] is None


async def test_flows_client_finds_no_tools(user: Asker) -> None:
    answer = await user.ask("GET", "/conversations/tools/available")
    assert (answer.status_code, answer.json()) == (200, {"tools": []})


# Who sees what


async def test_a_user_sees_agents_without_addresses_secrets_and_instructions(admin: Asker, user: Asker) -> None:
    webhook, model = await made(admin), (await admin.ask("POST", PATH, json=OWN_MODEL)).json()
    for seen in (
        await listed(user),
        [(await user.ask("GET", f"{PATH}/{each['id']}")).json() for each in (model, webhook)],
    ):
        for shown, whole in zip(seen, (model, webhook), strict=True):
            assert shown == whole | dict.fromkeys(PRIVATE)


async def test_an_agent_is_seen_whole_by_whoever_is_an_administrator_at_this_moment(
    admin: Asker, parley: Deployment, team_id: UUID
) -> None:
    await made(admin)
    colleague = await someone(parley, "admin", team_id=team_id)
    programs = {scope: await colleague.key(scope) for scope in ("admin", "read")}  # pyright: ignore[reportArgumentType]

    async def prompts() -> list[bool]:
        askers = (colleague, programs["admin"], programs["read"])
        return [(await listed(asker))[0]["system_prompt"] is not None for asker in askers]

    assert await prompts() == [True, True, False]
    await admin.ask("PATCH", f"/users/{colleague.id}", json={"role": "user"})
    assert await prompts() == [False, False, False]


async def test_inactive_agents_are_listed_to_an_administrator_who_asks_and_to_nobody_else(
    admin: Asker, user: Asker
) -> None:
    on, off = await made(admin, name="On"), await made(admin, name="Off", is_active=False)
    assert await names(admin) == await names(user) == await names(user, include_inactive=True) == ["On"]
    assert await names(admin, include_inactive=True) == ["Off", "On"]
    assert await names(await admin.key("read"), include_inactive=True) == ["On"]
    shown = (await user.ask("GET", f"{PATH}/{off['id']}")).json()
    assert (shown["name"], shown["is_active"]) == ("Off", False)
    await put(admin, on, is_active=False)
    await put(admin, off, is_active=True)
    assert await names(user) == ["Off"]


async def test_a_team_sees_its_own_agents_alone(admin: Asker, parley: Deployment, found: Found) -> None:
    await made(admin)
    for role in ("user", "admin"):
        stranger = await someone(parley, role, team_id=await found())
        assert await listed(stranger, include_inactive=True) == []


async def test_a_list_goes_from_the_newest_to_the_oldest_in_pages(admin: Asker) -> None:
    agents = [await made(admin, name=f"{number}") for number in range(5)]
    assert await names(admin) == ["4", "3", "2", "1", "0"]
    assert await names(admin, limit=2) == ["4", "3"]
    assert await names(admin, limit=2, offset=2) == ["2", "1"]
    assert await names(admin, limit=2, after=agents[3]["id"]) == ["2", "1"]
    for wrong in ({"limit": 0}, {"limit": 201}, {"offset": -1}, {"after": "x"}, {"include_inactive": "perhaps"}):
        assert (await admin.ask("GET", PATH, params=wrong)).status_code == 422


async def test_what_an_administrator_does_to_agents_is_told(admin: Asker, rows: Rows, team_id: UUID) -> None:
    agent = await made(admin)
    await put(admin, agent, webhook_token="another_token_1", is_active=False)
    await put(admin, agent)
    await put(admin, agent, is_active=False)
    await admin.ask("DELETE", f"{PATH}/{agent['id']}")
    named = {"agent_id": agent["id"]}
    assert await told(rows, team_id) == [
        ("agent_created", named),
        ("agent_updated", named | {"fields": ["is_active", "webhook_token"]}),
        ("agent_deleted", named),
    ]
    (event, *_) = (await admin.ask("GET", "/auth/events", params={"kind": "agent_deleted"})).json()
    assert (event["actor_id"], event["user_id"]) == (str(admin.id), None)


async def test_what_a_user_may_not_do_leaves_nothing_behind(
    admin: Asker, user: Asker, rows: Rows, team_id: UUID
) -> None:
    agent = await made(admin)
    path, before = f"{PATH}/{agent['id']}", await rows("SELECT * FROM agents WHERE team_id = %s", team_id)
    refused = [
        await user.ask("POST", PATH, json=DOCUMENTS),
        await user.ask("PUT", path, json={"name": "Mine"}),
        await user.ask("DELETE", path),
        await user.ask("POST", f"{path}/avatar", files={"file": ("bot.png", PNG)}),
        await user.ask("DELETE", f"{path}/avatar"),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(403, "forbidden")}
    assert await rows("SELECT * FROM agents WHERE team_id = %s", team_id) == before
    assert len(await told(rows, team_id)) == 1


# Secrets


async def test_secrets_are_sealed_and_shown_whole_once(admin: Asker, rows: Rows, team_id: UUID) -> None:
    webhook = await made(admin)
    model = (await admin.ask("POST", PATH, json=OWN_MODEL)).json()
    assert (webhook["webhook_token"], model["api_key"]) == (TOKEN, OWN_MODEL["api_key"])
    kept = str(await rows("SELECT * FROM agents WHERE team_id = %s", team_id))
    events = str(await told(rows, team_id))
    for secret in (TOKEN, OWN_MODEL["api_key"]):
        assert secret not in kept
        assert secret not in events
    for agent, field, shown in ((webhook, "webhook_token", f"{HIDDEN}_123"), (model, "api_key", f"{HIDDEN}cdef")):
        path = f"{PATH}/{agent['id']}"
        assert (await admin.ask("GET", path)).json()[field] == shown
        assert (await put(admin, agent, name="Renamed"))[field] == shown
        assert next(each for each in await listed(admin) if each["id"] == agent["id"])[field] == shown
    replaced = await put(admin, webhook, webhook_token="another_token_5678")
    assert replaced["webhook_token"] == f"{HIDDEN}5678"
    assert (await put(admin, webhook, webhook_token="short"))["webhook_token"] == HIDDEN


async def test_a_secret_that_comes_back_as_it_is_shown_stays(admin: Asker, rows: Rows) -> None:
    agent = await made(admin)
    (before,) = await rows("SELECT sealed_webhook_token FROM agents WHERE id = %s", UUID(agent["id"]))
    await put(admin, agent, webhook_token=f"{HIDDEN}_123", webhook_url="https://n8n.example.com/webhook/other")
    (after,) = await rows("SELECT sealed_webhook_token FROM agents WHERE id = %s", UUID(agent["id"]))
    assert after == before
    for stale in (HIDDEN, f"{HIDDEN}9999"):
        refused = await admin.ask("PUT", f"{PATH}/{agent['id']}", json={"webhook_token": stale})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert (await admin.ask("POST", PATH, json=DOCUMENTS | {"webhook_token": HIDDEN})).status_code == 400
    assert (await put(admin, agent, webhook_token=None))["webhook_token"] is None


OTHER_SERVERS: Final = (
    "https://evil.example.com/webhook/support-bot",
    "https://n8n.example.com:8443/webhook/support-bot",
    "http://n8n.example.com/webhook/support-bot",
)


@pytest.mark.parametrize("url", OTHER_SERVERS)
async def test_a_secret_does_not_go_to_another_server(admin: Asker, url: str) -> None:
    agent = await made(admin)
    path = f"{PATH}/{agent['id']}"
    for changes in ({"webhook_url": url}, {"webhook_url": url, "webhook_token": f"{HIDDEN}_123"}):
        refused = await admin.ask("PUT", path, json=changes)
        assert (refused.status_code, refused.json()["code"]) == (400, "secret_required")
        assert TOKEN not in refused.text
    assert (await admin.ask("GET", path)).json()["webhook_url"] == DOCUMENTS["webhook_url"]
    moved = await put(admin, agent, webhook_url=url, webhook_token="a_token_of_its_own")
    assert (moved["webhook_url"], moved["webhook_token"]) == (url, f"{HIDDEN}_own")
    assert (await put(admin, agent, webhook_url=DOCUMENTS["webhook_url"], webhook_token=None))["webhook_token"] is None


async def test_a_key_does_not_go_to_another_endpoint(admin: Asker) -> None:
    agent = (await admin.ask("POST", PATH, json=OWN_MODEL)).json()
    refused = await admin.ask("PUT", f"{PATH}/{agent['id']}", json={"base_url": "https://evil.example.com/v1"})
    assert (refused.status_code, refused.json()["code"]) == (400, "secret_required")
    same = await put(admin, agent, base_url="https://MODELS.example.com:443/v2")
    assert same["api_key"] == f"{HIDDEN}cdef"
    assert (await put(admin, agent, base_url=None))["api_key"] is None


async def test_a_secret_of_another_seal_is_still_shown_as_one(admin: Asker, deploy: Deploy) -> None:
    agent = await made(admin)
    stranger = admin.at(await deploy(seal_key="another-sealing-key-of-the-tests-0123"))
    assert (await stranger.ask("GET", f"{PATH}/{agent['id']}")).json()["webhook_token"] == HIDDEN
    assert (await put(stranger, agent, name="Renamed"))["webhook_token"] == HIDDEN
    assert (await put(admin, agent))["webhook_token"] == f"{HIDDEN}_123"


# Kinds


async def test_an_agent_without_a_webhook_is_a_model(admin: Asker) -> None:
    plain = (await admin.ask("POST", PATH, json={"name": "Plain"})).json()
    assert (plain["kind"], plain["provider"], plain["model"], plain["config"]) == ("model", None, None, {})
    named = await admin.ask("POST", PATH, json={"name": "Named", "provider": "openai", "model": "gpt-4.1"})
    assert (named.json()["kind"], named.json()["provider"], named.json()["model"]) == ("model", "openai", "gpt-4.1")


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "webhook"},
        {"kind": "model", "webhook_url": "https://n8n.example.com/webhook/x"},
        {"kind": "webhook", "webhook_url": "https://n8n.example.com/webhook/x", "model": "gpt-4"},
        {"webhook_url": "https://n8n.example.com/webhook/x", "base_url": "https://models.example.com/v1"},
        {"provider": "openai", "base_url": "https://models.example.com/v1"},
        {"webhook_token": TOKEN},
        {"api_key": TOKEN},
    ],
    ids=str,
)
async def test_an_agent_that_does_not_hold_together_is_refused(
    admin: Asker, rows: Rows, team_id: UUID, fields: dict[str, Any]
) -> None:
    refused = await admin.ask("POST", PATH, json={"name": "Torn"} | fields)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert await rows("SELECT 1 FROM agents WHERE team_id = %s", team_id) == []


async def test_another_kind_takes_what_was_the_first_ones_away(admin: Asker, rows: Rows) -> None:
    agent = await made(admin)
    model = await put(admin, agent, kind="model", provider="openai")
    assert (model["kind"], model["webhook_url"], model["webhook_token"]) == ("model", None, None)
    refused = await admin.ask("PUT", f"{PATH}/{agent['id']}", json={"kind": "webhook"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    back = await put(admin, agent, kind="webhook", webhook_url=DOCUMENTS["webhook_url"])
    assert (back["provider"], back["webhook_token"]) == (None, None)
    (kept,) = await rows("SELECT sealed_webhook_token FROM agents WHERE id = %s", UUID(agent["id"]))
    assert kept["sealed_webhook_token"] is None


# What is taken


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 201},
        {"name": "\0"},
        {"name": None},
        {"description": "x" * 2001},
        {"system_prompt": "x" * (LONGEST_PROMPT + 1)},
        {"kind": "tool"},
        {"provider": "anthropic"},
        {"is_active": 1},
        {"webhook_token": "two words"},
        {"webhook_token": "line\r\nX-Header: y"},
        {"webhook_token": ""},
        {"webhook_token": "x" * 4097},
        {"webhook_token": 1},
        {"webhook_url": ""},
        {"webhook_url": "ftp://n8n.example.com/x"},
        {"webhook_url": "//n8n.example.com/x"},
        {"webhook_url": "https://"},
        {"webhook_url": "https://user:password@n8n.example.com/x"},
        {"webhook_url": "https://n8n.example.com\\@evil.example.com/"},
        {"webhook_url": "https://n8n.example.com/x#y"},
        {"webhook_url": "https://n8n.example.com/x y"},
        {"webhook_url": "https://n8n.example.com/\n"},
        {"webhook_url": "https://n8n.example.com:99999/"},
        {"webhook_url": f"https://n8n.example.com/{'x' * 2048}"},
        {"webhook_url": "http://169.254.169.254/latest/meta-data"},
        {"webhook_url": "https://10.0.0.1/webhook"},
        {"webhook_url": "https://[fd00:ec2::254]/"},
        {"config": []},
        {"config": None},
        {"config": {"temperature": 2.1}},
        {"config": {"temperature": "warm"}},
        {"config": {"temperature": True}},
        {"config": {"max_tokens": 0}},
        {"config": {"max_tokens": 1.5}},
        {"config": {"top_p": -0.1}},
        {"config": {"stop": ["a", "b", "c", "d", "e"]}},
        {"config": {"model": ""}},
        {"config": {"retrieval": "yes"}},
        {"config": {"x": "y" * LONGEST}},
        {"config": {"x": "\0"}},
        {"avatar": "data:image/svg+xml;base64,PHN2Zy8+"},
        {"id": "01995d2e-0000-7000-8000-000000000000"},
        {"team_id": "01995d2e-0000-7000-8000-000000000000"},
        {"created_by": None},
        {"deleted_at": None},
        {"sealed_api_key": "x"},
        {"unknown": 1},
    ],
    ids=lambda fields: str(fields)[:60],
)
async def test_what_no_agent_can_have_is_refused_at_creation_and_in_a_change(
    admin: Asker, rows: Rows, team_id: UUID, fields: dict[str, Any]
) -> None:
    agent = await made(admin)
    before = await rows("SELECT * FROM agents WHERE team_id = %s", team_id)
    body = DOCUMENTS | fields
    for refused in (
        await admin.ask("POST", PATH, json=body),
        await admin.ask("PUT", f"{PATH}/{agent['id']}", json=fields),
    ):
        assert refused.status_code in {415, 422}, refused.text
        assert refused.json()["code"] in {"invalid_request", "address_refused", "unsupported_image"}
    assert await rows("SELECT * FROM agents WHERE team_id = %s", team_id) == before


async def test_a_config_keeps_what_only_a_workflow_reads(admin: Asker) -> None:
    nested: dict[str, Any] = {}
    for _ in range(DEEPEST - 2):
        nested = {"in": nested}
    config = {
        "temperature": 1,
        "top_p": None,
        "stop": "END",
        "seed": -5,
        "retrieval": True,
        "voice": {"speed": 1.5, "name": "é"},
        "deep": nested,
    }
    agent = await made(admin, config=config)
    assert agent["config"] == config
    assert (await put(admin, agent, config={"voice": None}))["config"] == {"voice": None}


async def test_production_takes_https_alone_but_for_the_hosts_that_are_allowed(
    admin: Asker, deploy: Deploy, rows: Rows, team_id: UUID
) -> None:
    production = await deploy(environment="production", guest_chat=False, webhook_allowed_hosts=("n8n.internal",))
    asker = admin.at(production)

    async def tried(url: str) -> str:
        answer = await asker.ask("POST", PATH, json={"name": "Bot", "webhook_url": url})
        return answer.json().get("code", "made")

    assert await tried("http://n8n.example.com/webhook/x") == "address_refused"
    assert await tried("https://n8n.example.com/webhook/x") == "made"
    assert await tried("http://n8n.internal:5678/webhook/x") == "made"
    assert await tried("http://n8n.ours:5678/webhook/x") == "address_refused"
    await rows(
        "UPDATE teams SET settings = %s WHERE id = %s", json.dumps({"webhook_allowed_hosts": ["n8n.ours"]}), team_id
    )
    assert await tried("http://n8n.ours:5678/webhook/x") == "made"


# Pictures


@pytest.mark.parametrize(("kind", "content"), KINDS.values(), ids=KINDS)
async def test_a_picture_is_kept_as_what_it_is_whatever_it_is_called(admin: Asker, kind: str, content: bytes) -> None:
    agent = await made(admin)
    path = f"{PATH}/{agent['id']}/avatar"
    uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    for method in ("PUT", "POST"):
        uploaded = await admin.ask(method, path, files={"file": ("bot.svg", content, "image/svg+xml")})
        assert uploaded.json()["avatar"] == uri, uploaded.text
    assert [each["avatar"] for each in await listed(admin)] == [uri]
    assert (await admin.ask("DELETE", path)).json()["avatar"] is None
    assert (await put(admin, agent, avatar=uri))["avatar"] == uri
    assert (await put(admin, agent, avatar=None))["avatar"] is None


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(SVG, 415, "unsupported_image"), (PNG[:-1], 415, "unsupported_image"), (png(LARGEST + 1), 413, "image_too_large")],
    ids=["svg", "cut", "large"],
)
async def test_what_is_no_picture_is_refused(admin: Asker, content: bytes, status: int, code: str) -> None:
    agent = await made(admin)
    refused = await admin.ask("POST", f"{PATH}/{agent['id']}/avatar", files={"file": ("bot.png", content)})
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert (await admin.ask("GET", f"{PATH}/{agent['id']}")).json()["avatar"] is None


async def test_a_list_holds_as_many_pictures_as_an_answer_can(admin: Asker) -> None:
    large = png(LARGEST)
    agents = [await made(admin, name=f"{number}") for number in range(3)]
    for agent, picture in zip(agents, (PNG, large, large), strict=True):
        await admin.ask("POST", f"{PATH}/{agent['id']}/avatar", files={"file": ("bot.png", picture)})
    assert [agent["avatar"] is not None for agent in await listed(admin)] == [True, False, False]
    assert sum(len(agent["avatar"] or "") for agent in await listed(admin)) <= AVATARS_IN_A_LIST
    (last,) = await listed(admin, after=agents[1]["id"])
    assert last["avatar"] is not None
    assert (await admin.ask("GET", f"{PATH}/{agents[1]['id']}")).json()["avatar"] is not None


# Ends


async def test_a_deleted_agent_is_gone_and_its_row_stays_without_its_secrets(admin: Asker, rows: Rows) -> None:
    agent = await made(admin)
    path = f"{PATH}/{agent['id']}"
    assert (await admin.ask("DELETE", path)).status_code == 204
    assert await names(admin, include_inactive=True) == []
    for method, where, body in (
        ("GET", path, None),
        ("PUT", path, {"is_active": True}),
        ("DELETE", path, None),
        ("DELETE", f"{path}/avatar", None),
    ):
        gone = await admin.ask(method, where, json=body)
        assert (gone.status_code, gone.json()["code"]) == (404, "agent_not_found")
    (kept,) = await rows("SELECT * FROM agents WHERE id = %s", UUID(agent["id"]))
    assert (kept["name"], kept["is_active"], kept["sealed_webhook_token"]) == ("Support Bot", False, None)
    assert kept["deleted_at"] is not None


async def test_changes_at_once_are_all_made(admin: Asker) -> None:
    agent = await made(admin)
    fields = [{"name": "New"}, {"description": "New"}, {"system_prompt": "New"}, {"config": {"new": 1}}]
    await asyncio.gather(*(put(admin, agent, **each) for each in fields))
    shown = (await admin.ask("GET", f"{PATH}/{agent['id']}")).json()
    assert {name: shown[name] for each in fields for name in each} == {
        name: value for each in fields for name, value in each.items()
    }


async def test_an_agent_that_is_nobodys_is_not_there(admin: Asker) -> None:
    for method, body in (("GET", None), ("PUT", {"name": "x"}), ("DELETE", None)):
        answer = await admin.ask(method, f"{PATH}/{uuid4()}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "agent_not_found")
    assert (await admin.ask("GET", f"{PATH}/x")).status_code == 422
