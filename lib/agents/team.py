"""A team's agents: everybody of the team sees them, and its administrators make, change and delete them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from lib.agents.agent import Kind
from lib.agents.answering import answering, guard
from lib.agents.draft import URLS, Fields, columns_of_changed, columns_of_new
from lib.agents.secrets import SecretName, mask
from lib.agents.trial import Trial, try_out
from lib.auth.callers import Caller
from lib.auth.limits import admit
from lib.db.events import Client
from lib.db.session import Database
from lib.ids import new_id
from lib.settings import Settings
from lib.store import agents
from lib.store.agents import KeptAgent, SeenAgent, Viewer

if TYPE_CHECKING:
    from lib.auth.seal import Seal


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAgent:
    """An agent as it is shown. To whoever is no administrator, what only one may see is null.

    `webhook_token` and `api_key` are shown by their last characters; whole once, when the agent was just made. `avatar`
    is a data URI.
    """

    id: UUID
    team_id: UUID
    created_by: UUID | None
    name: str
    description: str
    kind: Kind
    webhook_url: str | None
    webhook_token: str | None
    provider: str | None
    model: str | None
    base_url: str | None
    api_key: str | None
    system_prompt: str | None
    avatar: str | None
    config: dict[str, Any]
    is_active: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents of a team, for one of its people.

    Attributes:
        database: where agents are.
        seal: what seals their secrets.
        settings: where they may call.
        caller: who asks.
        client: from where.
    """

    database: Database
    seal: "Seal"
    settings: Settings
    caller: Caller
    client: Client

    async def page(
        self, *, include_inactive: bool, limit: int, offset: int = 0, after: UUID | None = None
    ) -> tuple[ShownAgent, ...]:
        """Return the team's agents, the newest first; see `lib.store.agents.page`."""
        async with self.database.one_statement(self.caller.tenant()) as connection:
            found = await agents.page(
                connection,
                self._viewer,
                team_id=self.caller.team_id,
                include_inactive=include_inactive,
                limit=limit,
                offset=offset,
                after=after,
            )
        return tuple(map(self._shown, found))

    async def find(self, agent_id: UUID) -> ShownAgent:
        """Return one of them.

        Raises:
            AgentNotFound: there is no such agent.
        """
        async with self.database.one_statement(self.caller.tenant()) as connection:
            return self._shown(await agents.find(connection, self._viewer, agent_id, team_id=self.caller.team_id))

    async def add(self, fields: Fields) -> ShownAgent:
        """Make an agent, and return it with its secrets: this once.

        Raises:
            InvalidRequest: it does not hold together.
            AddressRefused: it may not call the address that it names.
            Forbidden: the caller is no administrator.
        """
        agent_id, now = new_id(), datetime.now(UTC)
        columns = columns_of_new(fields, agent_id=agent_id, seal=self.seal)
        given: dict[str, Any] = {"avatar": None, "is_active": True, **columns}
        new = KeptAgent(
            id=agent_id,
            team_id=self.caller.team_id,
            created_by=self.caller.user,
            created_at=now,
            updated_at=now,
            **given,
        )
        async with self.database.one_statement(self.caller.tenant(admin=True)) as connection:
            hosts = await agents.allowed_hosts(connection, team_id=self.caller.team_id)
            self._check(fields, hosts)
            made = await agents.create(connection, new, client=self.client)
        return self._shown(SeenAgent(made, True), **{name: fields.get(name) for name in URLS})

    async def change(self, agent_id: UUID, fields: Fields) -> ShownAgent:
        """Change what `fields` names of an agent, and return it.

        Raises:
            AgentNotFound: there is no such agent.
            SecretRequired: it would call another server than its secret was given for.
            InvalidRequest: it would not hold together.
            AddressRefused: it may not call the address that it is to call.
            Forbidden: the caller is no administrator.
        """
        changed: KeptAgent | None = None
        async with self.database.one_statement(self.caller.tenant(admin=True)) as connection:
            # Each time that it is to be done again, somebody else has changed the agent: there is an end to it.
            while changed is None:
                found = await agents.find_to_call(connection, agent_id, team_id=self.caller.team_id)
                self._check(fields, found.allowed_hosts)
                columns = columns_of_changed(fields, found.agent, seal=self.seal)
                if not columns:
                    same = await agents.find(connection, self._viewer, agent_id, team_id=self.caller.team_id)
                    return self._shown(same)
                changed = await agents.change(
                    connection, found.agent, columns, actor_id=self.caller.user, client=self.client
                )
        return self._shown(SeenAgent(changed, True))

    async def delete(self, agent_id: UUID) -> None:
        """Delete an agent; the conversations that it had keep its name.

        Raises:
            AgentNotFound: there is no such agent.
            Forbidden: the caller is no administrator.
        """
        async with self.database.one_statement(self.caller.tenant(admin=True)) as connection:
            await agents.delete(
                connection,
                agent_id,
                team_id=self.caller.team_id,
                actor_id=self.caller.user,
                client=self.client,
            )

    def _check(self, fields: Fields, allowed_hosts: frozenset[str]) -> None:
        """Refuse an address that could never be called. Nothing is looked up; the call itself checks more."""
        way = guard(self.settings, allowed_hosts)
        for name in ("webhook_url", "base_url"):
            if url := fields.get(name):
                way.check(url)

    async def try_out(self, agent_id: UUID, message: str) -> Trial:
        """Ask an agent one thing, also one that is switched off, and report what came back. It counts as a chat.

        Raises:
            AgentNotFound: there is no such agent.
            Forbidden: the caller is no administrator.
            RateLimited: the caller has asked too often.
        """
        async with self.database.one_statement(self.caller.tenant(admin=True)) as connection:
            found = await agents.find_to_call(connection, agent_id, team_id=self.caller.team_id)
        await admit(self.database, self.settings.rate_limits, "chat", account=self.caller.user)
        prepare = partial(
            answering,
            found.agent,
            deployment=(),
            settings=self.settings,
            seal=self.seal,
            conversation_id=new_id(),
            allowed_hosts=found.allowed_hosts,
        )
        return await try_out(prepare, message, agent_timeout=self.settings.agent_timeout)

    @property
    def _viewer(self) -> Viewer:
        return Viewer(self.caller.user, "admin" in self.caller.scopes)

    def _shown(self, seen: SeenAgent, **secrets: str | None) -> ShownAgent:
        """Return how an agent is shown; its secrets as they are given, else masked."""
        agent = seen.agent
        fields: dict[str, Any] = {name: getattr(agent, name) for name in _SHOWN}
        for name in URLS:
            fields[name] = secrets[name] if name in secrets else self._masked(agent, name)
        fields["system_prompt"] = agent.system_prompt if seen.whole else None
        return ShownAgent(**fields)

    def _masked(self, agent: KeptAgent, name: SecretName) -> str | None:
        sealed: bytes | None = getattr(agent, f"sealed_{name}")
        url: str | None = getattr(agent, URLS[name])
        return mask(self.seal, sealed, agent_id=agent.id, name=name, url=url) if sealed and url else None


_SHOWN: Final = tuple(name for name in ShownAgent.__dataclass_fields__ if name not in URLS)
