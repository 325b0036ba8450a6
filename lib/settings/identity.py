"""Who may ask, and how that is known: signing, sealing, sessions, mail, and limits."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from lib.settings.base import Base, CommaSeparated, Paths, Secrets, in_development
from lib.settings.limits import DEFAULT_RATE_LIMITS, RateLimits
from lib.settings.made import development_secret, private_key, public_keys, seal_keys, signing_secret

Algorithm = Literal["HS256", "RS256", "EdDSA"]


def _with_lines(value: object) -> object:
    r"""Take a PEM whose ends of lines are written `\n`, as one line of an environment holds it."""
    return value.replace("\\n", "\n") if isinstance(value, str) else value


def _local_origins(fields: dict[str, Any]) -> tuple[str, ...]:
    ports = (3000, 5173) if in_development(fields) else ()
    return tuple(f"http://{host}:{port}" for port in ports for host in ("localhost", "127.0.0.1"))


def _local_front_end(fields: dict[str, Any]) -> str | None:
    return "http://localhost:3000" if in_development(fields) else None


class Identity(Base):
    """Signing, sealing, sessions, mail, and limits."""

    jwt_algorithm: Algorithm = Field(
        default="HS256", description="how access tokens are signed: HS256 (one secret), RS256 or EdDSA (a key pair)"
    )
    jwt_secret_key: SecretStr | None = Field(
        default_factory=signing_secret,
        description="signs access tokens with HS256, at least 32 characters; development makes its own",
    )
    jwt_previous_secret_keys: Secrets = Field(
        default=(), description="earlier JWT_SECRET_KEYs, comma-separated: their tokens hold until they expire"
    )
    jwt_private_key_path: Path | None = Field(default=None, description="file that holds JWT_PRIVATE_KEY")
    jwt_private_key: Annotated[SecretStr | None, BeforeValidator(_with_lines)] = Field(
        default_factory=private_key,
        description="signs access tokens with RS256 or EdDSA: a PEM, its ends of lines may be written \\n; development"
        " makes its own",
    )
    jwt_public_key_path: Paths = Field(default=(), description="files that hold JWT_PUBLIC_KEY, comma-separated")
    jwt_public_key: Annotated[str | None, BeforeValidator(_with_lines)] = Field(
        default_factory=public_keys,
        description="public keys besides JWT_PRIVATE_KEY's own whose tokens hold: PEMs, one after the other",
    )
    access_token_expire_minutes: int = Field(default=15, gt=0, description="lifetime of an access token")
    refresh_token_expire_days: int = Field(default=30, gt=0, description="lifetime of a refresh token")
    seal_key: Secrets = Field(
        default_factory=seal_keys,
        description="seals the secrets that are stored, at least 32 characters; comma-separated: the first seals, all"
        " open; development makes its own. Unset: derived from what signs access tokens",
    )
    setup_token: SecretStr | None = Field(
        default=None, description="lets the first administrator be made outside development (X-Setup-Token)"
    )
    internal_api_key: SecretStr | None = Field(
        default_factory=development_secret("internal_api_key"),
        description="for calls from your own servers (X-Internal-API-Key); development makes its own. Unset: refused",
    )
    cron_secret: SecretStr | None = Field(
        default_factory=development_secret("cron_secret"),
        description="for jobs that a schedule calls (Authorization: Bearer); development makes its own. Unset: refused",
    )
    edge_key: SecretStr | None = Field(
        default=None,
        description="on AWS: the CloudFront of scripts/aws/front.yml sends it, and is believed a client's address",
    )
    email_only_login: bool = Field(
        default=False, description="whether an email alone signs in, without a password; production refuses true"
    )
    rate_limits: RateLimits = Field(
        default_factory=lambda: DEFAULT_RATE_LIMITS,
        description="attempts a minute, 0 for no limit; what is not named keeps its own: "
        + ",".join(f"{name}={attempts}" for name, attempts in DEFAULT_RATE_LIMITS.items()),
    )
    allowed_origins: CommaSeparated = Field(
        default_factory=_local_origins,
        description="origins of browsers that may call, comma-separated and explicit; local ones in development",
    )
    guest_chat: bool = Field(
        default_factory=in_development,
        description="whether people who are not signed in may chat; true in development, else false",
    )
    default_team: str = Field(
        default="default", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="slug of the default team"
    )
    public_url: Annotated[str, AfterValidator(lambda url: url.rstrip("/"))] | None = Field(
        default_factory=_local_front_end,
        description="the front end, where links in mails lead; http://localhost:3000 in development",
    )
    mail_from: str | None = Field(default=None, description="sender of mails: Parley <parley@example.com>")
    smtp_url: SecretStr | None = Field(
        default=None, description="server that sends them: smtp://user:password@host:587 (STARTTLS) or smtps://"
    )
    ses_region: str | None = Field(
        default=None, description="region of Amazon SES, to send them with instead, as the function's own role"
    )
