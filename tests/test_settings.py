"""The environment."""

import stat
from collections.abc import Generator
from pathlib import Path

import pytest

from lib.settings import Place, SettingsInvalid, get_settings, this_place

SECRET = "s" * 32


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[None]:
    for name in ("ENVIRONMENT", "NEON_DATABASE_URL", "DATABASE_URL", "OPENAI_API_KEY", "GEMINI_API_KEY", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_neons_url_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://plain")
    monkeypatch.setenv("NEON_DATABASE_URL", "postgresql://neon")
    url = get_settings().database_url
    assert url is not None
    assert url.get_secret_value() == "postgresql://neon"


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert get_settings().configured_providers == ()


def test_the_env_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=key\nAGENT_TIMEOUT=12\n")
    settings = get_settings()
    assert (settings.configured_providers, settings.agent_timeout) == (("openai",), 12)


def test_development_makes_its_secrets_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    first = get_settings().jwt_secret_key
    get_settings.cache_clear()
    assert get_settings().jwt_secret_key == first
    kept = sorted((tmp_path / ".data" / "secrets").iterdir())
    assert [path.name for path in kept] == ["cron_secret", "internal_api_key", "jwt_secret_key", "seal_key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}


def test_a_folder_that_cannot_keep_secrets_is_named(tmp_path: Path) -> None:
    (tmp_path / ".data").touch()
    with pytest.raises(SettingsInvalid, match=r"^DATA_DIR \.data cannot be used: Not a directory"):
        get_settings()


@pytest.mark.parametrize(
    "platform", [{"VERCEL_ENV": "production"}, {"VERCEL_ENV": "preview"}, {"AWS_LAMBDA_FUNCTION_NAME": "chat"}]
)
def test_a_deployed_function_that_is_not_told_is_in_production(
    monkeypatch: pytest.MonkeyPatch, platform: dict[str, str]
) -> None:
    for name, value in platform.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match="JWT_SECRET_KEY is required in production"):
        get_settings()


def test_production_names_every_weak_or_missing_secret_and_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("JWT_SECRET_KEY", "weak-one")
    monkeypatch.setenv("INTERNAL_API_KEY", "weak-two")
    with pytest.raises(SettingsInvalid) as refusal:
        get_settings()
    for name in ("JWT_SECRET_KEY", "INTERNAL_API_KEY", "DATABASE_URL"):
        assert name in str(refusal.value)
    assert "weak" not in str(refusal.value)


def test_production_has_no_guests_and_no_internal_calls_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("DATABASE_URL", "postgresql://host/db")
    settings = get_settings()
    assert (settings.guest_chat, settings.internal_api_key) == (False, None)


def test_only_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_TIMEOUT", "900")
    with pytest.raises(SettingsInvalid, match=r"^AGENT_TIMEOUT Input should be less than or equal to 800$"):
        get_settings()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("AGENT_TIMEOUT", "soon", "AGENT_TIMEOUT"),
        ("PROVIDERS", "openai,claude", "'claude'"),
        ("PROVIDERS", "gemini", "'gemini'"),
        ("ALLOWED_ORIGINS", "*", "ALLOWED_ORIGINS"),
        ("DATABASE_URL", "mysql://host/db", "DATABASE_URL"),
        ("QDRANT_URL", "localhost", "QDRANT_URL"),
        ("QDRANT_URL", "ftp://127.0.0.1", "QDRANT_URL"),
        ("DEFAULT_TEAM", "My Team", "DEFAULT_TEAM"),
        ("WEBHOOK_ALLOWED_HOSTS", "http://n8n.internal", "WEBHOOK_ALLOWED_HOSTS"),
        ("WEBHOOK_ALLOWED_HOSTS", "n8n.internal,*.internal", "WEBHOOK_ALLOWED_HOSTS"),
    ],
)
def test_what_cannot_work_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=sentence):
        get_settings()


def test_agents_call_this_machine_in_development_and_only_what_is_named_in_production(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert get_settings().webhook_allowed_hosts == ("localhost", "127.0.0.1", "::1")
    monkeypatch.setenv("WEBHOOK_ALLOWED_HOSTS", "n8n.internal:5678, podcast-n8n,[::1]:80,fd00::1")
    get_settings.cache_clear()
    assert get_settings().webhook_allowed_hosts == ("n8n.internal:5678", "podcast-n8n", "[::1]:80", "fd00::1")
    monkeypatch.delenv("WEBHOOK_ALLOWED_HOSTS")
    for name, value in {"ENVIRONMENT": "production", "DATABASE_URL": "postgresql://host/db"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    get_settings.cache_clear()
    assert get_settings().webhook_allowed_hosts == ()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1 9000", "ftp://minio", "https://user:secret@minio"])
def test_an_endpoint_of_storage_that_is_none_is_refused_without_being_told(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIO_ENDPOINT", endpoint)
    with pytest.raises(SettingsInvalid, match=r"S3_ENDPOINT is not the URL of a server$") as refused:
        get_settings()
    assert endpoint not in str(refused.value)


@pytest.mark.parametrize("place", ["s3://", "s3://b", "s3://bucket/../other", "s3://key:secret@bucket", "https://x/y"])
def test_a_place_for_the_spool_that_is_none_is_refused_without_being_told(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOOL_URL", place)
    with pytest.raises(SettingsInvalid, match=r"SPOOL_URL is neither s3://bucket/prefix nor a folder$") as refused:
        get_settings()
    assert place not in str(refused.value).removeprefix("SPOOL_URL is neither s3://bucket/prefix nor a folder")


@pytest.mark.parametrize("place", ["s3://bucket", "s3://my.bucket-1/spool/of_ours/", "/var/lib/parley/spool", "off"])
def test_a_place_for_the_spool(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOOL_URL", place)
    assert get_settings().spool_url == place


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"VERCEL": "1", "VERCEL_REGION": "fra1", "AWS_REGION": "eu-central-1"}, Place("vercel", "fra1")),
        ({"AWS_LAMBDA_FUNCTION_NAME": "parley", "AWS_REGION": "eu-central-1"}, Place("lambda", "eu-central-1")),
        ({"AWS_REGION": "eu-central-1"}, Place("other", None)),
    ],
)
def test_the_platform_says_where_it_runs(
    environment: dict[str, str], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VERCEL", "VERCEL_REGION", "AWS_LAMBDA_FUNCTION_NAME", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert this_place() == place


@pytest.mark.parametrize("given", ["S3_ACCESS_KEY", "MINIO_SECRET_KEY"])
def test_half_a_pair_of_keys_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(given, "a key")
    with pytest.raises(SettingsInvalid, match="S3_ACCESS_KEY and S3_SECRET_KEY go together"):
        get_settings()
