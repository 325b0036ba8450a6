"""What every group of settings stands on: the few variables that the others' defaults depend on."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lib.settings.sources import default_environment

SECRET_LENGTH: Final = 32
"""Characters that a secret of ours has at least in production."""


def _comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
Paths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_comma_separated)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_comma_separated)]


class Base(BaseSettings):
    """Where a process runs, and where it finds the rest."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["development", "production"] = Field(
        default_factory=default_environment,
        description="development or production, which refuses weak secrets and is a deployed function's default",
    )
    secrets_id: str | None = Field(
        default=None,
        description="name of a secret in AWS Secrets Manager: these variables as a JSON object. The environment wins",
    )
    data_dir: Path = Field(default=Path(".data"), description="where `make dev` keeps its data")


def in_development(fields: dict[str, Any]) -> bool:
    """Say, of the fields before one whose default is asked for, whether development may make it."""
    return fields.get("environment") == "development"
