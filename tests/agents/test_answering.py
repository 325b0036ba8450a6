"""Who answers for an agent, and how."""

import subprocess
import sys
from typing import Any, Final
from uuid import UUID

import pytest

from lib.agents.agent import Agent
from lib.agents.answering import Answering, answering
from lib.agents.secrets import HIDDEN, SecretName, is_mask, mask, open_secret, origin_of, seal_secret
from lib.auth.seal import Seal
from lib.errors import AddressRefused, InvalidRequest, NoProvider, Unsealable
from lib.ids import new_id
from lib.providers import get_providers
from lib.providers.base import DEFAULTS, Options
from lib.providers.webhook import WebhookProvider
from tests.doubles.openai_server import OpenAIServer
from tests.fixtures.web import make_settings
from tests.providers.asking import QUESTION, ask, joined

SEAL: Final = Seal((b"root-of-the-tests",))
AGENT_ID: Final = UUID("01995d2e-0000-7000-8000-00000000000a")


def an_agent(**fields: Any) -> Agent:
    """Return an agent: a model, unless it has a webhook's address."""
    given: dict[str, Any] = {
        "id": AGENT_ID,
        "name": "Agent",
        "kind": "webhook" if "webhook_url" in fields else "model",
        "system_prompt": "",
        "config": {},
        **dict.fromkeys(
            ("webhook_url", "sealed_webhook_token", "provider", "model", "base_url", "sealed_api_key"), None
        ),
    }
    return Agent(**given | fields)


def who(agent: Agent, *, allowed_hosts: frozenset[str] = frozenset(), **settings: Any) -> Answering:
    """Return who answers for an agent, in a deployment with these settings."""
    made = make_settings(None, "http://127.0.0.1:9/v1", **settings)
    return answering(
        agent,
        deployment=get_providers(made) if made.configured_providers else (),
        settings=made,
        seal=SEAL,
        conversation_id=new_id(),
        allowed_hosts=allowed_hosts,
    )


def models(answers: Answering) -> list[str]:
    return [provider.model for provider in answers.providers]


TWO: Final[dict[str, Any]] = {"gemini_api_key": "key", "chat_model": "first-1"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["first-1", "gemini-2.5-flash"]),
        ({"model": "other"}, ["other", "gemini-2.5-flash"]),
        ({"config": {"model": "other"}}, ["other", "gemini-2.5-flash"]),
        ({"model": "own", "config": {"model": "other"}}, ["own", "gemini-2.5-flash"]),
        ({"provider": "openai"}, ["first-1"]),
        ({"provider": "gemini"}, ["gemini-2.5-flash"]),
        ({"provider": "gemini", "model": "gemini-other"}, ["gemini-other"]),
    ],
    ids=str,
)
def test_a_model_without_an_address_is_the_deployments(fields: dict[str, Any], expected: list[str]) -> None:
    assert models(who(an_agent(**fields), **TWO)) == expected


def test_the_deployments_own_providers_are_taken_as_they_are() -> None:
    settings = make_settings(None, "http://127.0.0.1:9/v1")
    deployment = get_providers(settings)
    found = answering(an_agent(), deployment=deployment, settings=settings, seal=SEAL, conversation_id=new_id())
    assert found.providers is deployment


def test_only_the_providers_in_the_operators_order_can_be_named() -> None:
    assert models(who(an_agent(provider="gemini"), **TWO)) == ["gemini-2.5-flash"]
    with pytest.raises(NoProvider, match="'gemini'"):
        who(an_agent(provider="gemini"), **TWO, providers=("openai",))
    with pytest.raises(NoProvider, match="'vllm'"):
        who(an_agent(provider="vllm"))
    assert models(who(an_agent(provider="openai"), **TWO, providers=("gemini", "openai:named"))) == ["named"]


def test_without_any_model_only_agents_that_need_none_answer() -> None:
    for agent in (an_agent(), an_agent(provider="openai"), an_agent(model="x")):
        with pytest.raises(NoProvider):
            who(agent, openai_api_key=None)
    assert who(an_agent(webhook_url="http://127.0.0.1:9/x"), openai_api_key=None).is_webhook
    assert models(who(an_agent(base_url="http://127.0.0.1:9/v1", model="x"), openai_api_key=None)) == ["x"]


def test_a_config_becomes_options() -> None:
    config = {
        "temperature": 1,
        "top_p": 0.5,
        "max_tokens": 2000,
        "presence_penalty": -2,
        "frequency_penalty": 2.0,
        "seed": 7,
        "stop": ["END", "STOP"],
        "voice": "calm",
    }
    assert who(an_agent(config=config)).options == Options(
        temperature=1.0,
        top_p=0.5,
        max_tokens=2000,
        presence_penalty=-2.0,
        frequency_penalty=2.0,
        seed=7,
        stop=("END", "STOP"),
    )
    assert who(an_agent(config={"stop": "END"})).options == Options(stop=("END",))
    assert who(an_agent(config={"stop": [], "temperature": None})).options == DEFAULTS
    assert who(an_agent(webhook_url="http://127.0.0.1:9/x", config=config)).options == DEFAULTS


@pytest.mark.parametrize("config", [{"temperature": 3}, {"max_tokens": "many"}, {"stop": 1}], ids=str)
def test_a_config_that_somebody_wrote_past_us_is_said_to_be_wrong(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(config))):
        who(an_agent(config=config))


@pytest.mark.parametrize(
    ("fields", "searches"),
    [
        ({}, True),
        ({"config": {"retrieval": False}}, False),
        ({"webhook_url": "http://127.0.0.1:9/x"}, False),
        ({"webhook_url": "http://127.0.0.1:9/x", "config": {"retrieval": True}}, True),
    ],
    ids=str,
)
def test_models_search_documents_and_webhooks_do_not_unless_the_config_says_so(
    fields: dict[str, Any], searches: bool
) -> None:
    answers = who(an_agent(system_prompt="Be kind.", **fields))
    assert (answers.searches, answers.is_webhook) == (searches, "webhook_url" in fields)
    assert answers.system_prompt == "Be kind."


async def test_an_endpoint_of_a_teams_own_gets_its_key_and_model(openai_double: OpenAIServer) -> None:
    sealed = seal_secret(SEAL, "own-key", agent_id=AGENT_ID, name="api_key", url=openai_double.base_url)
    agent = an_agent(base_url=openai_double.base_url, sealed_api_key=sealed, config={"model": "own-1", "seed": 3})
    answers = who(agent)
    (provider,) = answers.providers
    joined([chunk async for chunk in provider.stream(QUESTION, answers.options)])
    (call,) = openai_double.calls
    assert (call.headers["Authorization"], call.body["model"], call.body["seed"]) == ("Bearer own-key", "own-1", 3)


async def test_an_endpoint_of_a_teams_own_is_reached_through_the_guard(openai_double: OpenAIServer) -> None:
    agent = an_agent(base_url=openai_double.base_url, model="own-1")
    nowhere: dict[str, Any] = {"webhook_allowed_hosts": ()}
    (refused,) = who(agent, **nowhere).providers
    with pytest.raises(AddressRefused):
        await ask(refused)
    assert openai_double.calls == []
    (allowed,) = who(agent, **nowhere, allowed_hosts=frozenset({"127.0.0.1"})).providers
    assert (await ask(allowed)).text


async def test_a_webhook_is_reached_through_the_guard() -> None:
    agent = an_agent(webhook_url="http://127.0.0.1:9/webhook/x")
    (provider,) = who(agent, webhook_allowed_hosts=()).providers
    assert isinstance(provider, WebhookProvider)
    with pytest.raises(AddressRefused):
        await ask(provider)


# Secrets


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"webhook_url": "https://n8n.example.com/x"}, "webhook_token"),
        ({"base_url": "https://n8n.example.com/x"}, "api_key"),
    ],
    ids=["webhook_token", "api_key"],
)
def test_a_secret_opens_for_its_agent_and_its_server_alone(fields: dict[str, Any], name: SecretName) -> None:
    url = "https://n8n.example.com/elsewhere"
    good = seal_secret(SEAL, "secret", agent_id=AGENT_ID, name=name, url=url)
    assert who(an_agent(**fields, **{f"sealed_{name}": good})).providers
    other: SecretName = "api_key" if name == "webhook_token" else "webhook_token"
    strange = (
        seal_secret(SEAL, "secret", agent_id=new_id(), name=name, url=url),
        seal_secret(SEAL, "secret", agent_id=AGENT_ID, name=other, url=url),
        seal_secret(SEAL, "secret", agent_id=AGENT_ID, name=name, url="https://other.example.com/x"),
        seal_secret(SEAL, "secret", agent_id=AGENT_ID, name=name, url="https://n8n.example.com:8443/x"),
        seal_secret(Seal((b"another root",)), "secret", agent_id=AGENT_ID, name=name, url=url),
    )
    for sealed in strange:
        with pytest.raises(Unsealable):
            who(an_agent(**fields, **{f"sealed_{name}": sealed}))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://N8N.example.com/x", "https://n8n.example.com:443"),
        ("https://n8n.example.com:443/y?z", "https://n8n.example.com:443"),
        ("http://n8n.example.com", "http://n8n.example.com:80"),
        ("http://[::1]:5678/x", "http://::1:5678"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    ("secret", "shown"),
    [("", HIDDEN), ("short", HIDDEN), ("x" * 11 + "abcd", HIDDEN), ("x" * 12 + "abcd", f"{HIDDEN}abcd")],
)
def test_a_mask_shows_an_end_of_what_is_long_enough(secret: str, shown: str) -> None:
    url = "https://n8n.example.com/x"
    sealed = seal_secret(SEAL, secret, agent_id=AGENT_ID, name="api_key", url=url)
    assert open_secret(SEAL, sealed, agent_id=AGENT_ID, name="api_key", url=url) == secret
    assert mask(SEAL, sealed, agent_id=AGENT_ID, name="api_key", url=url) == shown
    assert is_mask(shown)


def test_nothing_heavy_is_loaded_to_say_who_answers() -> None:
    program = "import sys, lib.agents.answering; print(*{'aiohttp', 'yarl', 'cryptography'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == []
