"""Where each provider lists its models: the cheapest question that needs its key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from lib.settings import Settings

GEMINI_VERSION: Final = "v1"
"""Of the API: the one that Google's own client speaks."""


@dataclass(frozen=True, slots=True)
class ModelList:
    """A provider's list of models.

    Attributes:
        provider: as `PROVIDERS` names it.
        url: what to get.
        variables: what to look at when the provider refuses.
        always: whether it surely has such a list, as the vendors' own servers do: where it is missing, the address is
            wrong.
        headers: what to send, with the key.
    """

    provider: str
    url: str
    variables: str
    always: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


def model_lists(settings: Settings) -> tuple[ModelList, ...]:
    """Return the lists of the providers that a turn may ask, each once, in their order of fallback."""
    entries = settings.providers or settings.configured_providers
    names = dict.fromkeys(entry.partition(":")[0] for entry in entries)
    return tuple(_model_list(settings, name) for name in names)


def _model_list(settings: Settings, name: str) -> ModelList:
    if name == "gemini":
        key = settings.gemini_api_key.get_secret_value() if settings.gemini_api_key else ""
        url = f"{settings.gemini_base_url.rstrip('/')}/{GEMINI_VERSION}/models?pageSize=1"
        return ModelList(name, url, "GEMINI_API_KEY", always=True, headers={"x-goog-api-key": key})
    if name == "vllm":
        return ModelList(name, _models(settings.vllm_endpoint or ""), "VLLM_ENDPOINT")
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
    return ModelList(
        name,
        _models(settings.openai_base_url),
        "OPENAI_API_KEY and OPENAI_BASE_URL",
        always=is_openais_own(settings.openai_base_url),
        headers={"Authorization": f"Bearer {key}"},
    )


def is_openais_own(base_url: str) -> bool:
    """Say so also of a region's host, such as eu.api.openai.com."""
    return f".{urlsplit(base_url).hostname}".endswith(".api.openai.com")


def _models(base_url: str) -> str:
    return f"{base_url.rstrip('/')}/models"
