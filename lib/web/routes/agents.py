"""Agents, under each of the prefixes that clients know: a team sees its own, and its administrators make them."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query, Request, UploadFile

from lib.agents.team import Agents, ShownAgent
from lib.agents.trial import Trial
from lib.auth.callers import Caller
from lib.db.events import Client
from lib.errors import Interrupted
from lib.files.images import LARGEST, read_picture
from lib.web.agents import ChangedAgent, NewAgent, Question
from lib.web.below import Below
from lib.web.deps import Known, TeamAdmin, ThisClient, ThisInstance
from lib.web.instance import Instance
from lib.web.leaving import while_client_stays
from lib.web.middleware import takes_a_picture

PREFIXES: Final = ("/api/v1/agents", "/api/agents")
MOST: Final = 200
"""Agents of one list."""

router = APIRouter(tags=["agents"])


def _agents(instance: Instance, caller: Caller, client: Client) -> Agents:
    return Agents(instance.database, instance.seal, instance.settings, caller, client)


async def _to_see(caller: Known, instance: ThisInstance, client: ThisClient) -> Agents:
    if "admin" not in caller.scopes:
        caller.needs("read")
    return _agents(instance, caller, client)


async def _to_administer(caller: TeamAdmin, instance: ThisInstance, client: ThisClient) -> Agents:
    return _agents(instance, caller, client)


AgentsToSee = Annotated[Agents, Depends(_to_see)]
"""The agents of a user's team, or of their program's with the scope `read` or `admin`."""
AgentsToAdminister = Annotated[Agents, Depends(_to_administer)]
"""The agents of an administrator's team."""


@router.get("")
async def page(
    agents: AgentsToSee,
    include_inactive: bool = False,
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    after: UUID | None = None,
) -> tuple[ShownAgent, ...]:
    """List the team's agents, the newest first; to an administrator also those that are switched off."""
    return await agents.page(include_inactive=include_inactive, limit=limit, offset=offset, after=after)


@router.post("", status_code=201)
@takes_a_picture
async def create(new: Annotated[NewAgent, Body()], agents: AgentsToAdminister) -> ShownAgent:
    """Make an agent. Its secrets are shown whole this once."""
    return await agents.add({**new})


@router.get("/{agent_id}")
async def read(agent_id: UUID, agents: AgentsToSee) -> ShownAgent:
    """Show an agent."""
    return await agents.find(agent_id)


@router.put("/{agent_id}")
@router.patch("/{agent_id}")
@takes_a_picture
async def change(agent_id: UUID, changes: Annotated[ChangedAgent, Body()], agents: AgentsToAdminister) -> ShownAgent:
    """Change the fields of an agent that the body names."""
    return await agents.change(agent_id, {**changes})


@router.delete("/{agent_id}", status_code=204)
async def delete(agent_id: UUID, agents: AgentsToAdminister) -> None:
    """Delete an agent. Conversations that it had stay, and keep its name."""
    await agents.delete(agent_id)


@router.put("/{agent_id}/avatar")
@router.post("/{agent_id}/avatar")
@takes_a_picture
async def upload(agent_id: UUID, file: UploadFile, agents: AgentsToAdminister) -> ShownAgent:
    """Upload a picture of an agent. Its name and the kind that it says it is are not asked."""
    picture = read_picture(await file.read(LARGEST + 1))
    return await agents.change(agent_id, {"avatar": picture.data_uri})


@router.delete("/{agent_id}/avatar")
async def remove_avatar(agent_id: UUID, agents: AgentsToAdminister) -> ShownAgent:
    """Have an agent without a picture."""
    return await agents.change(agent_id, {"avatar": None})


@router.post("/{agent_id}/test")
async def try_out(
    agent_id: UUID, agents: AgentsToAdminister, request: Request, question: Question | None = None
) -> Trial:
    """Ask an agent one thing, and report what came back and how it was understood. Nothing is stored."""
    asked = question or Question()
    trial = await while_client_stays(agents.try_out(agent_id, asked.message), request.receive)
    if trial is None:
        raise Interrupted
    return trial


routers: Final = tuple(Below(prefix, router) for prefix in PREFIXES)
