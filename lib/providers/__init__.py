"""The providers that the settings name. A vendor's module is imported only when it is one of them."""

from typing import Final

from lib.errors import NoProvider
from lib.providers.base import Provider
from lib.settings import Settings

OPENAI_MODEL: Final = "gpt-4.1-mini"
GEMINI_MODEL: Final = "gemini-2.5-flash"


def get_providers(settings: Settings) -> tuple[Provider, ...]:
    """Return the providers in their order of fallback: that of `PROVIDERS`, else all that are configured.

    Raises:
        NoProvider: when none is configured.
    """
    entries = settings.providers or settings.configured_providers
    if not entries:
        raise NoProvider
    first, *others = entries
    return (_provider(settings, first, settings.chat_model), *(_provider(settings, entry) for entry in others))


def _provider(settings: Settings, entry: str, model: str | None = None) -> Provider:
    """Return the provider of an entry, `name` or `name:model`. The entry's model goes before `model`."""
    name, _, named = entry.partition(":")
    model = named or model
    if name == "gemini" and settings.gemini_api_key:
        from lib.providers.gemini import GeminiProvider

        return GeminiProvider(settings.gemini_api_key.get_secret_value(), model or GEMINI_MODEL)

    from lib.providers.openai import OpenAIProvider

    if name == "openai" and settings.openai_api_key:
        key = settings.openai_api_key.get_secret_value()
        return OpenAIProvider(settings.openai_base_url, key, model or OPENAI_MODEL)
    if name == "vllm" and settings.vllm_endpoint:
        return OpenAIProvider(settings.vllm_endpoint, None, model)
    raise NoProvider
