"""Where each provider lists its models: the cheapest question that needs its key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lib.settings import Settings

GEMINI_URL: Final = "https://generativelanguage.googleapis.com"
"""Google's own client, which turns go through, speaks version 1 to it, so that is what is asked."""


@dataclass(frozen=True, slots=True)
class ModelList:
    """A provider's list of models.

    Attributes:
        provider: as `PROVIDERS` names it.
        url: what to get.
        variables: what to look at when the provider refuses.
        headers: what to send, with the key.
    """

    provider: str
    url: str
    variables: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


def model_lists(settings: Settings, *, gemini_url: str = GEMINI_URL) -> tuple[ModelList, ...]:
    """Return the lists of the providers that a turn may ask, each once, in their order of fallback."""
    entries = settings.providers or settings.configured_providers
    names = dict.fromkeys(entry.partition(":")[0] for entry in entries)
    return tuple(_model_list(settings, name, gemini_url) for name in names)


def _model_list(settings: Settings, name: str, gemini_url: str) -> ModelList:
    if name == "gemini":
        key = settings.gemini_api_key.get_secret_value() if settings.gemini_api_key else ""
        return ModelList(name, f"{gemini_url}/v1/models?pageSize=1", "GEMINI_API_KEY", {"x-goog-api-key": key})
    if name == "vllm":
        return ModelList(name, _models(settings.vllm_endpoint or ""), "VLLM_ENDPOINT")
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
    return ModelList(
        name,
        _models(settings.openai_base_url),
        "OPENAI_API_KEY and OPENAI_BASE_URL",
        {"Authorization": f"Bearer {key}"},
    )


def _models(base_url: str) -> str:
    return f"{base_url.rstrip('/')}/models"
