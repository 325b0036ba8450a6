"""The providers that the settings name. A vendor's module is imported only when it is one of them."""

from collections.abc import Sequence
from typing import Final

from lib.errors import NoProvider
from lib.providers.base import Provider
from lib.providers.guarded import Guarded
from lib.settings import Settings

OPENAI_MODEL: Final = "gpt-4.1-mini"
GEMINI_MODEL: Final = "gemini-2.5-flash"


def guarded_providers(settings: Settings) -> tuple[Guarded, ...]:
    """Return the deployment's providers as `get_providers` does, each with a breaker in front of it.

    Raises:
        NoProvider: when none is configured.
    """
    return tuple(Guarded(_provider(settings, *entry), entry) for entry in _entries(settings, None, None))


def get_providers(
    settings: Settings, *, only: str | None = None, model: str | None = None, guarded: Sequence[Provider] = ()
) -> tuple[Provider, ...]:
    """Return the providers in their order of fallback: that of `PROVIDERS`, else all that are configured.

    Args:
        settings: what they are made from.
        only: the name of one of them, which alone is returned.
        model: another model than the first would have.
        guarded: the deployment's, of which those that are wanted are taken as they are: what is known to be away for
            one agent is so for all.

    Raises:
        NoProvider: when none is configured, or not the one that is named.
    """
    known = {provider.entry: provider for provider in guarded if isinstance(provider, Guarded)}
    entries = _entries(settings, only, model)
    return tuple(known.get(entry) or _provider(settings, *entry) for entry in entries)


def _entries(settings: Settings, only: str | None, model: str | None) -> list[tuple[str, str | None]]:
    entries = [entry.partition(":") for entry in settings.providers or settings.configured_providers]
    wanted = [(name, named or None) for name, _, named in entries]
    if wanted and wanted[0][1] is None:
        wanted[0] = wanted[0][0], settings.chat_model
    if only is not None:
        wanted = [(name, named) for name, named in wanted if name == only][:1]
        if not wanted:
            raise NoProvider(f"This deployment has no provider {only!r}.")
    if not wanted:
        raise NoProvider
    if model is not None:
        wanted[0] = wanted[0][0], model
    return wanted


def get_provider(settings: Settings, entry: str) -> Provider:
    """Return the provider of an entry as `PROVIDERS` has them: `name` or `name:model`.

    Raises:
        NoProvider: it is not configured.
    """
    name, _, model = entry.partition(":")
    return _provider(settings, name, model or None)


def _provider(settings: Settings, name: str, model: str | None) -> Provider:
    """Return the provider of this name, with a model, None for its default."""
    if name == "gemini" and settings.gemini_api_key:
        from lib.providers.gemini import GeminiProvider

        return GeminiProvider(
            settings.gemini_api_key.get_secret_value(), model or GEMINI_MODEL, settings.gemini_base_url
        )

    from lib.providers.openai import OpenAIProvider

    if name == "openai" and settings.openai_api_key:
        key = settings.openai_api_key.get_secret_value()
        return OpenAIProvider(settings.openai_base_url, key, model or OPENAI_MODEL)
    if name == "vllm" and settings.vllm_endpoint:
        return OpenAIProvider(settings.vllm_endpoint, None, model)
    raise NoProvider
