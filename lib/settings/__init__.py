"""The environment, read once into one frozen value. Nothing else reads it."""

from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from lib.settings.base import SECRET_LENGTH
from lib.settings.identity import Algorithm, Identity
from lib.settings.limits import DEFAULT_RATE_LIMITS, Limited
from lib.settings.parts import GEMINI_OPENAI_URL, GEMINI_URL, NO_SPOOL, NO_TITLES, OPENAI_URL, Parts, ProviderName
from lib.settings.prices import NO_PRICES, Price
from lib.settings.rules import faults_of_identity, faults_of_parts
from lib.settings.sources import Place, SecretSource, SettingsInvalid, aws_account, this_place

__all__ = [
    "DEFAULT_RATE_LIMITS",
    "GEMINI_OPENAI_URL",
    "GEMINI_URL",
    "NO_PRICES",
    "NO_SPOOL",
    "NO_TITLES",
    "OPENAI_URL",
    "SECRET_LENGTH",
    "Algorithm",
    "Limited",
    "Place",
    "Price",
    "ProviderName",
    "Settings",
    "SettingsInvalid",
    "aws_account",
    "get_settings",
    "this_place",
]


class Settings(Identity, Parts):
    """What an operator may set. Each field's description is its line in `.env.example`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Look into the environment, then into `.env`, then into the secret."""
        del file_secret_settings  # a folder of secrets; we have none
        return init_settings, env_settings, dotenv_settings, SecretSource(settings_cls)

    @model_validator(mode="after")
    def _refuse_what_cannot_work(self) -> Self:
        """Name every variable that has to change, all at once."""
        if faults := [*faults_of_identity(self), *faults_of_parts(self)]:
            raise ValueError("; ".join(faults))
        return self


@cache
def get_settings(env_file: Path = Path(".env"), **given: Any) -> Settings:
    """Read the environment, once; what it does not set is read from `env_file`, and what is `given` wins over both.

    Raises:
        SettingsInvalid: naming every variable that has to change.
    """
    try:
        return Settings(_env_file=env_file, **given)  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        # A default that was not made, since something else is wrong, is no fault of the operator's.
        wrong = (fault for fault in error.errors() if fault["type"] != "default_factory_not_called")
        faults = (
            f"{'.'.join(map(str, fault['loc'])).upper()} {fault['msg'].removeprefix('Value error, ')}".strip()
            for fault in wrong
        )
        raise SettingsInvalid("; ".join(faults)) from None
