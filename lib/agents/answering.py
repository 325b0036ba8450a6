"""Who answers for an agent, and how: what a turn and an agent's test run with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lib.agents.agent import Agent
from lib.agents.config import Known, read_config
from lib.agents.secrets import SecretName, open_secret
from lib.errors import InvalidRequest
from lib.providers.base import DEFAULTS, Options, Provider

if TYPE_CHECKING:
    from lib.auth.seal import Seal
    from lib.guarded import Guard
    from lib.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Who answers, and how.

    Attributes:
        providers: in their order of fallback, at least one.
        options: how a model is to answer. A webhook is sent its config as it is instead.
        system_prompt: the agent's instructions; empty for none. A webhook is sent them besides.
        searches: whether the team's documents are searched first.
        is_webhook: whether a webhook answers, which is asked once: a workflow may have begun to act.
    """

    providers: tuple[Provider, ...]
    options: Options
    system_prompt: str
    searches: bool
    is_webhook: bool


def answering(
    agent: Agent,
    *,
    deployment: tuple[Provider, ...],
    settings: "Settings",
    seal: "Seal",
    conversation_id: UUID,
    allowed_hosts: frozenset[str] = frozenset(),
) -> Answering:
    """Return who answers for an agent.

    Args:
        agent: the agent.
        deployment: the deployment's own providers, in their order of fallback.
        settings: what they are made from, where an agent wants another model of theirs.
        seal: what its secrets were sealed with.
        conversation_id: for a workflow that remembers conversations itself.
        allowed_hosts: private hosts that the team's agents may call besides those of `WEBHOOK_ALLOWED_HOSTS`.

    Raises:
        InvalidRequest: its config cannot be read.
        NoProvider: the deployment has no model, or not the provider that the agent names.
        Unsealable: its secret was sealed with another key, or for another server.
    """
    try:
        known = read_config(agent.config)
    except ValueError as error:
        raise InvalidRequest(f"This agent cannot be asked: {error}.") from None
    is_webhook = agent.kind == "webhook"
    way = guard(settings, allowed_hosts)
    if is_webhook:
        providers = (_webhook(agent, seal, way, conversation_id),)
    elif agent.base_url:
        providers = (_own_model(agent, agent.base_url, known, seal, way),)
    else:
        providers = _deployments(agent, known, deployment, settings)
    return Answering(
        providers=providers,
        options=DEFAULTS if is_webhook else known.options,
        system_prompt=agent.system_prompt,
        searches=not is_webhook if known.retrieval is None else known.retrieval,
        is_webhook=is_webhook,
    )


def guard(settings: "Settings", allowed_hosts: frozenset[str]) -> "Guard":
    """Return the way to the addresses that a team's agents name.

    Args:
        settings: the hosts that every team's agents may call though they are private.
        allowed_hosts: those that this team's may call besides.
    """
    from lib.guarded import Guard

    hosts = frozenset(settings.webhook_allowed_hosts) | allowed_hosts
    return Guard(hosts, https_only=settings.environment == "production")


def _webhook(agent: Agent, seal: "Seal", way: "Guard", conversation_id: UUID) -> Provider:
    from lib.providers.webhook import WebhookProvider

    url = agent.webhook_url or ""  # the table has none without
    token = _secret(agent, seal, agent.sealed_webhook_token, "webhook_token", url)
    config: dict[str, Any] = agent.config
    return WebhookProvider(url, token, agent.system_prompt, config, str(conversation_id), send=way.send)


def _own_model(agent: Agent, base_url: str, known: Known, seal: "Seal", way: "Guard") -> Provider:
    from lib.providers.openai import OpenAIProvider

    key = _secret(agent, seal, agent.sealed_api_key, "api_key", base_url)
    return OpenAIProvider(base_url, key, agent.model or known.model, send=way.send)


def _deployments(
    agent: Agent, known: Known, deployment: tuple[Provider, ...], settings: "Settings"
) -> tuple[Provider, ...]:
    """Return the deployment's own providers, or those that the agent's wishes leave."""
    model = agent.model or known.model
    if agent.provider is None and model is None and deployment:
        return deployment
    from lib.providers import get_providers

    return get_providers(settings, only=agent.provider, model=model, guarded=deployment)


def _secret(agent: Agent, seal: "Seal", sealed: bytes | None, name: SecretName, url: str) -> str | None:
    return None if sealed is None else open_secret(seal, sealed, agent_id=agent.id, name=name, url=url)
