"""What cannot work, as sentences that name the variable and never repeat a value."""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import SecretStr

from lib.settings.base import SECRET_LENGTH
from lib.settings.identity import Identity
from lib.settings.parts import NO_TITLES, Parts

_HOST: Final = re.compile(r"([\w.-]+|\[[\da-f:.]+\])(:\d+)?|[\da-f:.]+", re.ASCII | re.IGNORECASE)
_PLACE: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w-][\w.-]*)*/?|(?!.*://).+", re.ASCII)
_ENDPOINT: Final = re.compile(r"(https?://)?[\w.-]+(:\d+)?/?", re.ASCII)


def faults_of_parts(settings: Parts) -> Iterator[str]:
    """Yield what is wrong with what Parley is wired to."""
    for name in (entry.partition(":")[0] for entry in settings.providers):
        if name not in settings.configured_providers:
            yield f"PROVIDERS names {name!r}, which is not one of openai, gemini, vllm, or has no key or endpoint"
    titles = (settings.title_model or NO_TITLES).partition(":")[0]
    if titles != NO_TITLES and titles not in settings.configured_providers:
        yield f"TITLE_MODEL names {titles!r}, which is not one of openai, gemini, vllm, off, or has no key or endpoint"
    database_url = settings.database_url.get_secret_value() if settings.database_url else "postgresql"
    wrong = {
        "DATABASE_URL is not the URL of a Postgres database": not re.match("postgres(ql|://)", database_url),
        "DATABASE_URL is required in production": settings.environment == "production" and not settings.database_url,
        "QDRANT_URL is not a URL": not _is_http(settings.qdrant_url or "http://"),
        "WEBHOOK_ALLOWED_HOSTS takes hosts such as n8n.internal or n8n.internal:5678, and no wildcard": not all(
            _HOST.fullmatch(host) for host in settings.webhook_allowed_hosts
        ),
        "S3_ENDPOINT is not the URL of a server": not _ENDPOINT.fullmatch(settings.s3_endpoint or "s3"),
        "SPOOL_URL is neither s3://bucket/prefix nor a folder": not _PLACE.fullmatch(settings.spool_url or "spool"),
        "S3_ACCESS_KEY and S3_SECRET_KEY go together": (
            (settings.s3_access_key is None) != (settings.s3_secret_key is None)
        ),
    }
    yield from (sentence for sentence, is_wrong in wrong.items() if is_wrong)


def faults_of_identity(settings: Identity) -> Iterator[str]:
    """Yield what is wrong with how people are known."""
    if settings.environment == "production":
        yield from _weak_in_production(settings)
    yield from _unusable_keys(settings)
    smtp_url = settings.smtp_url.get_secret_value() if settings.smtp_url else "smtp://host"
    sends_mail = bool(settings.smtp_url or settings.ses_region)
    wrong = {
        "ALLOWED_ORIGINS takes origins such as https://chat.example.com, and no wildcard": not all(
            re.fullmatch(r"[^*]*://[^*]*", origin) for origin in settings.allowed_origins
        ),
        "PUBLIC_URL is not a URL": not _is_http(settings.public_url or "http://"),
        "SMTP_URL is not the URL of a mail server": not re.match(r"smtps?://[^/]", smtp_url),
        "SMTP_URL and SES_REGION are two ways to send mail: set one": bool(settings.smtp_url and settings.ses_region),
        "MAIL_FROM is required to send mail": sends_mail and "@" not in (settings.mail_from or ""),
        "PUBLIC_URL is required to send mail, links in it lead there": sends_mail and not settings.public_url,
    }
    yield from (sentence for sentence, is_wrong in wrong.items() if is_wrong)


def _weak_in_production(settings: Identity) -> Iterator[str]:
    signs = "JWT_SECRET_KEY" if settings.jwt_algorithm == "HS256" else "JWT_PRIVATE_KEY"
    held: dict[str, tuple[SecretStr | None, ...]] = {
        "JWT_SECRET_KEY": (settings.jwt_secret_key,),
        "JWT_PREVIOUS_SECRET_KEYS": settings.jwt_previous_secret_keys,
        "SEAL_KEY": settings.seal_key,
        "SETUP_TOKEN": (settings.setup_token,),
        "INTERNAL_API_KEY": (settings.internal_api_key,),
        "CRON_SECRET": (settings.cron_secret,),
        "EDGE_KEY": (settings.edge_key,),
    }
    if getattr(settings, signs.lower()) is None:
        yield f"{signs} is required in production"
    for name, secrets in held.items():
        if any(secret is not None and len(secret.get_secret_value()) < SECRET_LENGTH for secret in secrets):
            yield f"{name} must have at least {SECRET_LENGTH} characters in production"
    if settings.email_only_login:
        yield "EMAIL_ONLY_LOGIN lets anybody in who knows an address: production refuses it"


def _unusable_keys(settings: Identity) -> Iterator[str]:
    """Read the keys where a pair signs: what cannot sign or verify is said before anybody asks."""
    if settings.jwt_algorithm == "HS256":
        if settings.jwt_private_key:
            yield "JWT_PRIVATE_KEY is set, and JWT_ALGORITHM is not: set that to RS256 or EdDSA"
        if settings.jwt_secret_key and "-----BEGIN " in settings.jwt_secret_key.get_secret_value():
            yield "JWT_SECRET_KEY is a key of a pair: name it JWT_PRIVATE_KEY, and set JWT_ALGORITHM"
        return
    import lib.secrets.pem as pem

    if settings.jwt_private_key:
        try:
            pem.read_private(settings.jwt_private_key.get_secret_value(), settings.jwt_algorithm)
        except pem.KeyUnusable as error:
            yield f"JWT_PRIVATE_KEY {error}"
    try:
        pem.read_public(settings.jwt_public_key or "", settings.jwt_algorithm)
    except pem.KeyUnusable as error:
        yield f"JWT_PUBLIC_KEY {error}"


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))
