"""Another's object by its id: every published route that takes one, tried by strangers. It looks like nothing at all.

A route joins by being published. Where its path names something new, `MAKERS` has to know how to make one.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from uuid import UUID

import httpx
import pytest

from lib.db.tables import metadata
from tests.access import ACCESS, body_of, key_of
from tests.fixtures.people import Asker, Found, someone
from tests.fixtures.web import Deployment, Rows, question
from tests.published import Published, distinct

BY_ID: Final = [route for route in distinct() if "{" in route.template]


Made = Mapping[str, str]
"""The ids that stand before one in a path, by their names: a message is of a conversation."""


async def own_id(owner: Asker, before: Made) -> str:
    return str(owner.id)


async def own_session(owner: Asker, before: Made) -> str:
    return (await owner.ask("GET", "/auth/sessions")).json()[0]["id"]


async def own_key(owner: Asker, before: Made) -> str:
    await owner.key("read")
    return (await owner.ask("GET", "/auth/api-keys")).json()[0]["id"]


async def own_agent(owner: Asker, before: Made) -> str:
    new = {"name": "Mine", "webhook_url": "http://127.0.0.1:9/webhook/mine", "webhook_token": "secret_token_123"}
    made = await owner.ask("POST", "/api/agents", json=new)
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def own_conversation(owner: Asker, before: Made) -> str:
    return (await owner.ask("POST", "/api/v1/chat", json=question("Mine?"))).json()["response"]["conversation_id"]


async def own_answer(owner: Asker, before: Made) -> str:
    shown = await owner.ask("GET", f"/conversations/{before['conversation_id']}")
    return shown.json()["messages"][-1]["id"]


MAKERS: Final[Mapping[str, Callable[[Asker, Made], Awaitable[str]]]] = {
    "user_id": own_id,
    "session_id": own_session,
    "key_id": own_key,
    "agent_id": own_agent,
    "conversation_id": own_conversation,
    "message_id": own_answer,
}

STRANGERS: Final = ("teammate", "stranger", "strange admin", "strange program", "guest")

TO_THE_TEAM: Final = {"GET {agents}/{agent_id}"}
"""What everybody of a team may see: nobody of the team is a stranger to it."""


async def stranger(parley: Deployment, kind: str, team_id: UUID, other_team_id: UUID) -> Asker:
    match kind:
        case "teammate":
            return await someone(parley, team_id=team_id)
        case "stranger":
            return await someone(parley, team_id=other_team_id)
        case "strange admin":
            return await someone(parley, "admin", team_id=other_team_id)
        case "strange program":
            return await (await someone(parley, "admin", team_id=other_team_id)).key("chat", "read", "admin")
        case _:
            return Asker(parley.url)


async def belongings(rows: Rows, user_id: UUID | None) -> dict[str, Any]:
    """Return everything that is kept of a user."""
    tables = {
        table.name: "user_id" if "user_id" in table.c else "id"
        for table in metadata.tables.values()
        if "user_id" in table.c or table.name == "users"
    }
    agents = await rows("SELECT agents.* FROM agents JOIN users USING (team_id) WHERE users.id = %s", user_id)
    said = await rows(
        "SELECT messages.* FROM messages JOIN conversations ON conversations.id = conversation_id"
        " WHERE user_id = %s ORDER BY messages.id",
        user_id,
    )
    return {"agents": agents, "messages": said} | {
        name: await rows(f"SELECT * FROM {name} WHERE {column} = %s ORDER BY 1", user_id)  # noqa: S608
        for name, column in tables.items()
    }


def told(answer: httpx.Response) -> dict[str, Any]:
    """Return what an answer says, but for the id of its request."""
    return {"status": answer.status_code} | answer.json() | {"request_id": None}


def test_every_kind_of_id_can_be_made() -> None:
    named = {name for route in BY_ID for name in re.findall(r"\{(\w+)\}", route.template)}
    assert named - set(MAKERS) == set()


@pytest.mark.parametrize("route", BY_ID, ids=str)
async def test_a_strangers_id_leads_nowhere_and_changes_nothing(
    parley: Deployment, rows: Rows, found: Found, route: Published
) -> None:
    team_id, other_team_id = await found(), await found()
    owner = await someone(parley, "admin" if "{agent_id}" in route.template else "user", team_id=team_id)
    made = dict[str, str]()
    for name in re.findall(r"\{(\w+)\}", route.template):
        made[name] = await MAKERS[name](owner, made)
    path = route.template.format_map(made)
    before = await belongings(rows, owner.id)
    for kind in STRANGERS:
        if kind == "teammate" and key_of(route) in TO_THE_TEAM:
            continue
        asker = await stranger(parley, kind, team_id, other_team_id)
        answer = await asker.ask(route.method, path, **body_of(route))
        nothing = await asker.ask(route.method, route.path, **body_of(route))
        to_guests = 404 if ACCESS[key_of(route)] == "chatter" else 401  # a guest may ask, and has conversations, too
        assert answer.status_code in ({to_guests} if kind == "guest" else {403, 404}), (kind, answer.text)
        assert told(answer) == told(nothing), kind
        assert await belongings(rows, owner.id) == before, kind


@pytest.mark.parametrize("kind", STRANGERS)
@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/chat/stream"])
async def test_a_conversation_of_anothers_is_not_there_to_be_continued(
    parley: Deployment, rows: Rows, found: Found, path: str, kind: str
) -> None:
    team_id, other_team_id = await found(), await found()
    owner = await someone(parley, team_id=team_id)
    said = await owner.ask("POST", "/api/v1/chat", json=question("Mine?"))
    conversation_id = said.json()["response"]["conversation_id"]
    asker = await stranger(parley, kind, team_id, other_team_id)
    before = await belongings(rows, owner.id)
    answer = await asker.ask("POST", path, json=question("Mine!", conversation_id=conversation_id))
    assert (answer.status_code, answer.json()["code"]) == (404, "conversation_not_found")
    assert await belongings(rows, owner.id) == before
