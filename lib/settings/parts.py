"""What Parley is wired to: the database, the documents, the models, the files, and who watches."""

from typing import Any, Final, Literal

from pydantic import AliasChoices, Field, SecretStr

from lib.settings.base import Base, CommaSeparated, in_development
from lib.settings.prices import NO_PRICES, Prices

OPENAI_URL: Final = "https://api.openai.com/v1"
GEMINI_URL: Final = "https://generativelanguage.googleapis.com"
GEMINI_OPENAI_URL: Final = "https://generativelanguage.googleapis.com/v1beta/openai"

NO_TITLES: Final = "off"
"""The `TITLE_MODEL` of a deployment whose conversations are called by their first question."""

NO_SPOOL: Final = "off"
"""The `SPOOL_URL` of a deployment whose turns wait nowhere."""

ProviderName = Literal["openai", "gemini", "vllm"]


def _loopback(fields: dict[str, Any]) -> tuple[str, ...]:
    return ("localhost", "127.0.0.1", "::1") if in_development(fields) else ()


class Parts(Base):
    """The parts, and how each is used."""

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("NEON_DATABASE_URL", "DATABASE_URL"),
        description="Postgres; NEON_DATABASE_URL wins over DATABASE_URL. `make dev` runs its own when neither is set",
    )
    database_pool_size: int = Field(
        default=8, ge=1, le=100, description="connections to Postgres that one instance may hold at once"
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
    gemini_base_url: str = Field(
        default=GEMINI_URL,
        validation_alias=AliasChoices("GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"),
        description="Gemini's server or a gateway to it, without a version; not for embeddings",
    )
    vllm_endpoint: str | None = Field(
        default=None, description="a keyless OpenAI-compatible endpoint such as vLLM, ending in /v1"
    )
    providers: CommaSeparated = Field(
        default=(),
        description="order of fallback, each openai, gemini or vllm, a model may follow: openai:gpt-4.1-mini,gemini."
        " Default: all that are configured, in that order",
    )
    chat_model: str | None = Field(default=None, description="model of the first provider, unless PROVIDERS names one")
    model_prices: Prices = Field(
        default_factory=lambda: NO_PRICES,
        description="what models cost, besides and instead of what lib/usage/prices.json says, in USD for a million"
        ' tokens, as JSON: {"llama-3.3-70b": {"input": 0.60, "output": 0.90}}',
    )
    title_model: str | None = Field(
        default=None,
        description="model that names conversations, an entry as in PROVIDERS: openai:gpt-4.1-nano; or off: the first"
        " line of the question names them. Default: the first provider",
    )
    embedding_base_url: str | None = Field(
        default=None,
        description="OpenAI-compatible endpoint for embeddings, ending in /v1. Default: OpenAI's, else Gemini's, where"
        " there is a key; set it where OPENAI_BASE_URL has no embeddings",
    )
    embedding_api_key: SecretStr | None = Field(default=None, description="key for EMBEDDING_BASE_URL, if it wants one")
    embedding_model: str | None = Field(
        default=None, description="model for embeddings; ingestion and search must agree"
    )
    webhook_allowed_hosts: CommaSeparated = Field(
        default_factory=_loopback,
        description="private hosts that agents may call, over http too: n8n.internal, or n8n.internal:5678 for one"
        " port. Default: this machine in development, none in production",
    )
    agent_timeout: float = Field(
        default=30.0, gt=0, le=800, description="seconds for a turn; the first-token and stall limits derive from it"
    )
    disconnect: Literal["finish", "cancel"] = Field(
        default="finish",
        description="what becomes of an answer whose reader lost the connection: it is written to its end, or the model"
        " is stopped",
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
    spool_url: str | None = Field(
        default=None,
        description="where turns wait while the database is away: s3://bucket/prefix, with the key of S3_BUCKET, or a"
        " folder; or off. Default: spool/ in S3_BUCKET, without one a folder of DATA_DIR in development, else nowhere",
    )
    spool_max_records: int = Field(
        default=10_000, ge=1, le=50_000, description="turns that may wait there; more are not kept, and that is said"
    )
    spool_max_mb: int = Field(default=256, ge=1, description="megabytes that they may take")
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

    @property
    def configured_providers(self) -> tuple[ProviderName, ...]:
        """The providers that have a key or an endpoint, in the order used when `PROVIDERS` is not set."""
        held: dict[ProviderName, object] = {
            "openai": self.openai_api_key,
            "gemini": self.gemini_api_key,
            "vllm": self.vllm_endpoint,
        }
        return tuple(name for name, value in held.items() if value)
