"""Agents at rest."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from lib.db.events import NO_CLIENT
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM, Tenant
from lib.errors import AgentNotFound
from lib.ids import new_id
from lib.store import agents
from lib.store.agents import KeptAgent, Viewer
from tests.fixtures.people import Asker, Found, someone
from tests.fixtures.web import Deployment, Rows


@pytest.fixture
async def admin(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, "admin", team_id=team_id)


@pytest.fixture
def database(parley: Deployment) -> Database:
    return parley.instance.database


async def kept(database: Database, team_id: UUID, admin: Asker, **fields: Any) -> KeptAgent:
    """Keep a new agent."""
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "id": new_id(),
        "team_id": team_id,
        "created_by": admin.id,
        "name": "Agent",
        "description": "",
        "kind": "model",
        "system_prompt": "",
        "config": {"deep": [1, {"two": None}]},
        "is_active": True,
        "created_at": now,
        "updated_at": now,
        **dict.fromkeys(
            ("webhook_url", "sealed_webhook_token", "provider", "model", "base_url", "sealed_api_key", "avatar"), None
        ),
    }
    async with database.one_statement(Tenant(team_id)) as connection:
        return await agents.create(connection, KeptAgent(**given | fields), client=NO_CLIENT)


async def test_an_agent_is_found_as_it_was_kept(database: Database, team_id: UUID, admin: Asker) -> None:
    made = await kept(database, team_id, admin, sealed_api_key=b"\0\xff", base_url="https://models.example.com/v1")
    assert admin.id is not None
    async with database.one_statement(Tenant(team_id)) as connection:
        seen = await agents.find(connection, Viewer(admin.id, may_administer=True), made.id, team_id=team_id)
        called = await agents.find_to_call(connection, made.id, team_id=team_id)
    assert (seen.agent, seen.whole) == (made, True)
    assert (called.agent, called.allowed_hosts) == (made, frozenset())


async def test_a_change_that_was_made_for_an_agent_as_it_no_longer_is_does_nothing(
    database: Database, team_id: UUID, admin: Asker, rows: Rows
) -> None:
    assert admin.id is not None
    seen = await kept(database, team_id, admin)
    async with database.one_statement(Tenant(team_id)) as connection:
        first = await agents.change(connection, seen, {"name": "First"}, actor_id=admin.id, client=NO_CLIENT)
        second = await agents.change(connection, seen, {"name": "Second"}, actor_id=admin.id, client=NO_CLIENT)
    assert first is not None
    assert (first.name, second) == ("First", None)
    (row,) = await rows("SELECT name FROM agents WHERE id = %s", seen.id)
    assert row["name"] == "First"
    told = await rows("SELECT 1 FROM security_events WHERE team_id = %s AND kind = 'agent_updated'", team_id)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("settings", "hosts"),
    [
        ('{"webhook_allowed_hosts": ["n8n.internal", "10.0.0.7:5678"]}', {"n8n.internal", "10.0.0.7:5678"}),
        ('{"webhook_allowed_hosts": []}', set[str]()),
        ('{"webhook_allowed_hosts": "n8n.internal"}', set[str]()),
        ('{"webhook_allowed_hosts": ["n8n.internal", 5, null]}', {"n8n.internal"}),
        ("{}", set[str]()),
    ],
)
async def test_the_hosts_of_a_team_are_what_its_operator_wrote(
    database: Database, team_id: UUID, admin: Asker, rows: Rows, settings: str, hosts: set[str]
) -> None:
    await rows("UPDATE teams SET settings = %s WHERE id = %s", settings, team_id)
    made = await kept(database, team_id, admin)
    async with database.one_statement(Tenant(team_id)) as connection:
        assert await agents.allowed_hosts(connection, team_id=team_id) == hosts
        assert (await agents.find_to_call(connection, made.id, team_id=team_id)).allowed_hosts == hosts


async def test_another_teams_agent_is_not_there_even_without_the_wall(
    database: Database, team_id: UUID, admin: Asker, found: Found
) -> None:
    assert admin.id is not None
    made, other = await kept(database, team_id, admin), await found()
    async with database.one_statement(EVERY_TEAM) as connection:
        viewer = Viewer(admin.id, may_administer=True)
        with pytest.raises(AgentNotFound):
            await agents.find(connection, viewer, made.id, team_id=other)
        with pytest.raises(AgentNotFound):
            await agents.find_to_call(connection, made.id, team_id=other)
        with pytest.raises(AgentNotFound):
            await agents.delete(connection, made.id, team_id=other, actor_id=admin.id, client=NO_CLIENT)
        assert await agents.page(connection, viewer, team_id=other, include_inactive=True, limit=9) == ()
