"""What administrators set of an agent, as bodies hold it. A field that is left out of a change stays as it is."""

import re
from typing import Annotated, Any, Final, TypedDict

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, with_config

from lib.agents.agent import Kind
from lib.agents.config import read_config
from lib.agents.trial import GREETING
from lib.settings import ProviderName
from lib.web.avatar import Avatar
from lib.web.objects import storable
from lib.web.text import LONGEST_MESSAGE, PLAIN, SAID

LONGEST_PROMPT: Final = 32_000
"""Characters of an agent's instructions."""

# Plain enough that every reader of URLs finds the same host in it. Where it may lead is for the guard to say.
_ADDRESS: Final = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:[/?][!\"$-\[\]-~]*)?"
)
_VISIBLE: Final = re.compile("[!-~]+")


def _callable(url: str) -> str:
    found = _ADDRESS.fullmatch(url)
    if found is None or int(found[1] or 1) not in range(1, 65536):
        raise ValueError("it is no http:// or https:// address of a server, with neither a password nor a #")
    return url


def _sendable(secret: str) -> str:
    """Refuse what no header may hold."""
    if not _VISIBLE.fullmatch(secret):
        raise ValueError("a secret is made of visible ASCII characters, without spaces")
    return secret


def _storable(config: dict[str, Any]) -> dict[str, Any]:
    """Refuse what cannot be kept, and settings of ours that are none. What else is in it is for a workflow to read."""
    read_config(storable(config, "config"))
    return config


Address = Annotated[str, Field(max_length=2048), AfterValidator(_callable)]
"""Where a webhook or an OpenAI-compatible endpoint is."""
Secret = Annotated[str, Field(max_length=4096), AfterValidator(_sendable)]
"""A bearer token."""
Config = Annotated[dict[str, Any], AfterValidator(_storable)]
"""Settings: ours, such as `model` and `temperature`, and whatever a workflow reads."""
Name = Annotated[str, Field(max_length=200), SAID]


class _Fields(TypedDict, total=False):
    description: Annotated[str, Field(max_length=2000), PLAIN]
    kind: Kind
    webhook_url: Address | None
    webhook_token: Secret | None
    provider: ProviderName | None
    model: Annotated[str, Field(max_length=200), SAID] | None
    base_url: Address | None
    api_key: Secret | None
    system_prompt: Annotated[str, Field(max_length=LONGEST_PROMPT), PLAIN]
    config: Config
    is_active: Annotated[bool, Field(strict=True)]
    avatar: Avatar | None


@with_config(ConfigDict(extra="forbid"))
class NewAgent(_Fields):
    """An agent to make. Without a `kind` it is a webhook where it has a `webhook_url`, else a model."""

    name: Name


@with_config(ConfigDict(extra="forbid"))
class ChangedAgent(_Fields, total=False):
    """What an administrator may change of an agent."""

    name: Name


class Question(BaseModel):
    """What an agent is asked in a test."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[str, Field(max_length=LONGEST_MESSAGE), SAID] = GREETING
