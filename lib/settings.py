"""The environment, read once into one frozen value. Nothing else reads it."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

OPENAI_URL: Final = "https://api.openai.com/v1"
GEMINI_OPENAI_URL: Final = "https://generativelanguage.googleapis.com/v1beta/openai"
SECRET_LENGTH: Final = 32
_ENDPOINT: Final = re.compile(r"(https?://)?[\w.-]+(:\d+)?/?", re.ASCII)

ProviderName = Literal["openai", "gemini", "vllm"]


class SettingsInvalid(Exception):
    """The environment cannot work. The message names the variables and never a value."""


def _comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]


def _default_environment() -> Literal["development", "production"]:
    """A deployed function that nobody told its environment is in production: the strict side is the safe one."""
    deployed = os.environ.get("VERCEL_ENV") in {"production", "preview"} or "AWS_LAMBDA_FUNCTION_NAME" in os.environ
    return "production" if deployed else "development"


def _development_secret(name: str) -> Callable[[dict[str, Any]], SecretStr | None]:
    """Return a default that is made once and kept in `DATA_DIR`, and only ever in development."""

    def default(fields: dict[str, Any]) -> SecretStr | None:
        if fields.get("environment") != "development" or "data_dir" not in fields:
            return None
        import lib.secrets.own as own

        data_dir: Path = fields["data_dir"]
        try:
            return SecretStr(own.read_or_make(data_dir / "secrets" / name))
        except OSError as error:
            why = f"{error.strerror} (it would keep a {name.upper()})"
            raise SettingsInvalid(f"DATA_DIR {data_dir} cannot be used: {why}") from error

    return default


def _local_origins(fields: dict[str, Any]) -> tuple[str, ...]:
    ports = (3000, 5173) if fields.get("environment") == "development" else ()
    return tuple(f"http://{host}:{port}" for port in ports for host in ("localhost", "127.0.0.1"))


class _SecretSource(EnvSettingsSource):
    """The variables in the secret that SECRETS_ID names. Only a deployment that has one pays for looking."""

    def _load_env_vars(self) -> dict[str, str | None]:
        return {}

    def __call__(self) -> dict[str, Any]:
        """Read the secret.

        Raises:
            SettingsInvalid: it cannot be read.
        """
        if secret_id := self.current_state.get("secrets_id"):
            self.env_vars = {name.lower(): value for name, value in _variables_in(secret_id).items() if value}
        return super().__call__()


def _variables_in(secret_id: str) -> dict[str, str]:
    import lib.secrets.aws as store

    given = os.environ.get
    region, key, secret = given("AWS_REGION"), given("AWS_ACCESS_KEY_ID"), given("AWS_SECRET_ACCESS_KEY")
    if not (region and key and secret):
        raise SettingsInvalid("SECRETS_ID needs AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    account = store.Account(region, key, secret, given("AWS_SESSION_TOKEN"), given("AWS_ENDPOINT_URL"))
    try:
        return store.read_secret(secret_id, account)
    except store.SecretUnreadable as error:
        raise SettingsInvalid(f"SECRETS_ID cannot be read: {error}") from error


class Settings(BaseSettings):
    """What an operator may set. Each field's description is its line in `.env.example`."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["development", "production"] = Field(
        default_factory=_default_environment,
        description="development or production, which refuses weak secrets and is a deployed function's default",
    )
    secrets_id: str | None = Field(
        default=None,
        description="name of a secret in AWS Secrets Manager: these variables as a JSON object. The environment wins",
    )
    data_dir: Path = Field(default=Path(".data"), description="where `make dev` keeps its data")
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("NEON_DATABASE_URL", "DATABASE_URL"),
        description="Postgres; NEON_DATABASE_URL wins over DATABASE_URL. `make dev` runs its own when neither is set",
    )
    qdrant_url: str | None = Field(
        default=None, description="vector store; without one, answers come without passages. `make dev` runs its own"
    )
    qdrant_api_key: SecretStr | None = Field(default=None, description="key of the vector store")
    qdrant_collection: str = Field(default="parley", min_length=1, description="collection that holds the documents")
    retrieval_timeout: float = Field(
        default=2.0, gt=0, description="seconds a turn waits for passages before it goes on without them"
    )
    openai_api_key: SecretStr | None = Field(default=None, description="key for OpenAI or any compatible endpoint")
    openai_base_url: str = Field(default=OPENAI_URL, description="the compatible endpoint, ending in /v1")
    gemini_api_key: SecretStr | None = Field(default=None, description="key for Gemini")
    vllm_endpoint: str | None = Field(
        default=None, description="a keyless OpenAI-compatible endpoint such as vLLM, ending in /v1"
    )
    providers: CommaSeparated = Field(
        default=(),
        description="order of fallback, each openai, gemini or vllm, a model may follow: openai:gpt-4.1-mini,gemini."
        " Default: all that are configured, in that order",
    )
    chat_model: str | None = Field(default=None, description="model of the first provider, unless PROVIDERS names one")
    embedding_base_url: str | None = Field(
        default=None,
        description="OpenAI-compatible endpoint for embeddings, ending in /v1. Default: OpenAI's, else Gemini's, where"
        " there is a key; set it where OPENAI_BASE_URL has no embeddings",
    )
    embedding_api_key: SecretStr | None = Field(default=None, description="key for EMBEDDING_BASE_URL, if it wants one")
    embedding_model: str | None = Field(
        default=None, description="model for embeddings; ingestion and search must agree"
    )
    agent_timeout: float = Field(
        default=30.0, gt=0, le=800, description="seconds for a turn; the first-token and stall limits derive from it"
    )
    jwt_secret_key: SecretStr | None = Field(
        default_factory=_development_secret("jwt_secret_key"),
        description="signs access tokens, at least 32 characters; development makes its own",
    )
    access_token_expire_minutes: int = Field(default=15, gt=0, description="lifetime of an access token")
    internal_api_key: SecretStr | None = Field(
        default_factory=_development_secret("internal_api_key"),
        description="for calls from your own servers (X-Internal-API-Key); development makes its own. Unset: refused",
    )
    cron_secret: SecretStr | None = Field(
        default_factory=_development_secret("cron_secret"),
        description="for jobs that a schedule calls (Authorization: Bearer); development makes its own. Unset: refused",
    )
    allowed_origins: CommaSeparated = Field(
        default_factory=_local_origins,
        description="origins of browsers that may call, comma-separated and explicit; local ones in development",
    )
    guest_chat: bool = Field(
        default_factory=lambda fields: fields.get("environment") == "development",
        description="whether people who are not signed in may chat; true in development, else false",
    )
    default_team: str = Field(
        default="default", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="slug of the default team"
    )
    retention_conversations: int = Field(default=50, ge=0, description="newest conversations kept a user; 0 keeps all")
    s3_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices("S3_ENDPOINT", "MINIO_ENDPOINT"),
        description="object storage that is not AWS's own, such as MinIO or R2",
    )
    s3_bucket: str | None = Field(
        default=None, description="bucket for files; development keeps them in a folder of DATA_DIR when it is not set"
    )
    s3_access_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("S3_ACCESS_KEY", "MINIO_ACCESS_KEY"),
        description="key of the bucket; on AWS, without one, the function's own role",
    )
    s3_secret_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("S3_SECRET_KEY", "MINIO_SECRET_KEY"),
        description="secret of S3_ACCESS_KEY",
    )
    s3_region: str = Field(default="us-east-1", description="region of the bucket")
    otel_exporter_otlp_endpoint: str | None = Field(
        default=None,
        description="where traces go, by OTLP over HTTP: https://collector.example.com. Unset: none are made",
    )
    otel_exporter_otlp_headers: SecretStr | None = Field(
        default=None, description="headers for it, as key=value pairs with commas between"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="least level that is logged"
    )

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
        return init_settings, env_settings, dotenv_settings, _SecretSource(settings_cls)

    @model_validator(mode="after")
    def _refuse_what_cannot_work(self) -> Self:
        """Name every variable that has to change, all at once."""
        database_url = self.database_url.get_secret_value() if self.database_url else "postgresql"
        wrong = {
            "DATABASE_URL is not the URL of a Postgres database": not re.match("postgres(ql|://)", database_url),
            "DATABASE_URL is required in production": self.environment == "production" and self.database_url is None,
            "QDRANT_URL is not a URL": not (self.qdrant_url or "http://").startswith(("http://", "https://")),
            "S3_ENDPOINT is not the URL of a server": not _ENDPOINT.fullmatch(self.s3_endpoint or "s3"),
            "S3_ACCESS_KEY and S3_SECRET_KEY go together": (self.s3_access_key is None) != (self.s3_secret_key is None),
            "ALLOWED_ORIGINS takes origins such as https://chat.example.com, and no wildcard": not all(
                re.fullmatch(r"[^*]*://[^*]*", origin) for origin in self.allowed_origins
            ),
        }
        found = [sentence for sentence, is_wrong in wrong.items() if is_wrong]
        if faults := [*self._weak_secrets(), *self._unusable_providers(), *found]:
            raise ValueError("; ".join(faults))
        return self

    def _weak_secrets(self) -> list[str]:
        held = {
            "JWT_SECRET_KEY": self.jwt_secret_key,
            "INTERNAL_API_KEY": self.internal_api_key,
            "CRON_SECRET": self.cron_secret,
        }
        if self.environment != "production":
            return []
        faults = [
            f"{name} must have at least {SECRET_LENGTH} characters in production"
            for name, secret in held.items()
            if secret is not None and len(secret.get_secret_value()) < SECRET_LENGTH
        ]
        return faults if self.jwt_secret_key else ["JWT_SECRET_KEY is required in production", *faults]

    def _unusable_providers(self) -> list[str]:
        names = [entry.partition(":")[0] for entry in self.providers]
        return [
            f"PROVIDERS names {name!r}, which is not one of openai, gemini, vllm, or has no key or endpoint"
            for name in names
            if name not in self.configured_providers
        ]

    @property
    def configured_providers(self) -> tuple[ProviderName, ...]:
        """The providers that have a key or an endpoint, in the order used when `PROVIDERS` is not set."""
        held: dict[ProviderName, object] = {
            "openai": self.openai_api_key,
            "gemini": self.gemini_api_key,
            "vllm": self.vllm_endpoint,
        }
        return tuple(name for name, value in held.items() if value)


@dataclass(frozen=True, slots=True)
class Place:
    """Where this process runs, as the platform says: for an operator to read."""

    platform: Literal["vercel", "lambda", "other"]
    region: str | None


def this_place() -> Place:
    """Return where this process runs."""
    given = os.environ.get
    if "VERCEL" in os.environ:
        return Place("vercel", given("VERCEL_REGION"))
    return Place("lambda", given("AWS_REGION")) if "AWS_LAMBDA_FUNCTION_NAME" in os.environ else Place("other", None)


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
