"""The variables themselves: present, strong, and consistent. Nothing is asked of anybody."""

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final, cast
from urllib.parse import urlsplit

from pydantic import SecretStr

from lib.settings import SECRET_LENGTH, Settings
from scripts.checkup.finding import Finding
from scripts.checkup.places import is_loopback

VARIED: Final = 10
"""Different characters that a random secret of 32 has at least: fewer are not to be expected in a billion of them."""
WORDS: Final = re.compile("secret|change|password|example|default", re.IGNORECASE)
"""What the secrets of examples are made of, too long to be in a random one by chance."""
OURS: Final = (
    "jwt_secret_key",
    "jwt_previous_secret_keys",
    "seal_key",
    "setup_token",
    "internal_api_key",
    "cron_secret",
    "edge_key",
)
LOST: Final = {
    "jwt_secret_key": "nobody can sign in",
    "seal_key": "what is sealed is lost when the key that signs tokens changes",
    "internal_api_key": "calls that need it are refused",
    "cron_secret": "calls that need it are refused",
}
"""What does not work without one; those not named are only needed by who wants them."""
LONGEST_TURN: Final = 290
"""Seconds: what runs chat on Vercel and on Lambda ends after 300."""
MAKE: Final = "make one with `openssl rand -base64 32`"


def check_variables(settings: Settings) -> list[Finding]:
    """Return what is to be said of the variables, at least one finding each for the secrets and the rest."""
    checks = {
        "secrets": [*_secrets(settings), *_equal_secrets(settings)],
        "origins": [*_origins(settings)],
        "variables": [*_environment(settings), *_mail(settings), *_clear_text(settings), *_times(settings)],
    }
    fine = {"secrets": "strong, and each its own", "origins": _named(settings), "variables": "consistent"}
    return [finding for name, found in checks.items() for finding in (found or [Finding(name, "ok", fine[name])])]


def _named(settings: Settings) -> str:
    return ", ".join(settings.allowed_origins) or "none"


def _secrets(settings: Settings) -> Iterator[Finding]:
    for name in OURS:
        held = secrets_of(settings, name)
        if not held and name in LOST and not (name == "jwt_secret_key" and settings.jwt_algorithm != "HS256"):
            yield Finding("secrets", "warning", f"{name.upper()} is not set, so {LOST[name]}: {MAKE}.")
        for value in held:
            if len(value) < SECRET_LENGTH:
                yield Finding("secrets", "failed", f"{name.upper()} has fewer than {SECRET_LENGTH} characters: {MAKE}.")
            elif len(set(value)) < VARIED:
                yield Finding("secrets", "failed", f"{name.upper()} can be guessed, it repeats itself: {MAKE}.")
            elif WORDS.search(value):
                yield Finding("secrets", "failed", f"{name.upper()} can be guessed, it is made of words: {MAKE}.")


def _equal_secrets(settings: Settings) -> Iterator[Finding]:
    held = {name: {*secrets_of(settings, name)} for name in type(settings).model_fields}
    for one, other in combinations(held, 2):
        if held[one] & held[other] and (one in OURS or other in OURS):
            names = f"{one.upper()} and {other.upper()}"
            yield Finding("secrets", "failed", f"{names} are the same, so whoever has one has both: {MAKE}.")


def secrets_of(settings: Settings, name: str) -> tuple[str, ...]:
    """Return what a variable holds that is secret: nothing where it is not set, or tells no secret."""
    value: object = getattr(settings, name)
    held = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
    return tuple(secret.get_secret_value() for secret in held if isinstance(secret, SecretStr))


def _origins(settings: Settings) -> Iterator[Finding]:
    production = settings.environment == "production"
    if not settings.allowed_origins:
        yield Finding("origins", "warning", "ALLOWED_ORIGINS is empty: no page of another origin can call.")
    for origin in settings.allowed_origins:
        parts = urlsplit(origin)
        if parts.path or parts.query or parts.fragment or not parts.hostname:
            correct = f"{parts.scheme}://{parts.netloc}"
            yield Finding("origins", "failed", f"{origin} never matches, an origin has no path: write {correct}.")
        elif production and is_loopback(origin):
            yield Finding("origins", "warning", f"{origin} is on whichever machine the browser is: leave it out.")
        elif production and parts.scheme != "https":
            yield Finding("origins", "warning", f"{origin} is not encrypted: serve the page over https.")


def _environment(settings: Settings) -> Iterator[Finding]:
    if settings.environment == "development":
        yield Finding(
            "variables",
            "warning",
            "ENVIRONMENT is development, whose rules are milder: check a deployment's variables with --production.",
        )
    elif settings.guest_chat:
        yield Finding("variables", "warning", "GUEST_CHAT is on: anybody may spend your tokens.")


def _mail(settings: Settings) -> Iterator[Finding]:
    if settings.environment == "production" and not (settings.smtp_url or settings.ses_region):
        lost = "nobody who forgot a password can set a new one"
        yield Finding("variables", "warning", f"SMTP_URL and SES_REGION are not set, so {lost}: set one of them.")


def _clear_text(settings: Settings) -> Iterator[Finding]:
    keyed = {
        "QDRANT_URL": (settings.qdrant_url, settings.qdrant_api_key),
        "OPENAI_BASE_URL": (settings.openai_base_url, settings.openai_api_key),
        "GEMINI_BASE_URL": (settings.gemini_base_url, settings.gemini_api_key),
        "EMBEDDING_BASE_URL": (settings.embedding_base_url, settings.embedding_api_key),
        "OTEL_EXPORTER_OTLP_ENDPOINT": (settings.otel_exporter_otlp_endpoint, settings.otel_exporter_otlp_headers),
    }
    for name, (url, key) in keyed.items():
        if url and key and url.startswith("http://") and not is_loopback(url):
            yield Finding("variables", "warning", f"{name} is not encrypted, and its key goes with it: use https.")


def _times(settings: Settings) -> Iterator[Finding]:
    if settings.agent_timeout > LONGEST_TURN:
        yield Finding(
            "variables",
            "warning",
            f"AGENT_TIMEOUT is over {LONGEST_TURN} s, and a function is ended after 300: set less, or raise its limit.",
        )
    if settings.retrieval_timeout >= settings.agent_timeout / 2:
        yield Finding("variables", "warning", "RETRIEVAL_TIMEOUT takes half of AGENT_TIMEOUT or more: set less.")
