"""The variables of signing, sealing, sessions, mail and limits."""

import stat
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from lib.settings import DEFAULT_RATE_LIMITS, Settings, SettingsInvalid, get_settings
from scripts.export import variables
from tests.fixtures.signing import key_of, public_of, short_key

STRONG = "s" * 32
PRODUCTION = {"ENVIRONMENT": "production", "DATABASE_URL": "postgresql://host/db"}
PAIRS = ("RS256", "EdDSA")

type Read = Callable[..., Settings]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Read]:
    """Read the settings from these variables alone, in an empty folder."""
    for name, field in Settings.model_fields.items():
        for variable in variables(name, field):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)

    def with_these(**given: str) -> Settings:
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        return get_settings()

    yield with_these
    get_settings.cache_clear()


def refusal(read: Read, **given: str) -> str:
    """Return what the settings are refused for, which repeats no value."""
    with pytest.raises(SettingsInvalid) as refused:
        read(**given)
    for name, value in given.items():
        if any(part in name for part in ("KEY", "TOKEN", "SECRET", "SMTP")) and not name.endswith("_PATH"):
            assert value not in str(refused.value)
    return str(refused.value)


# What signs


def test_a_secret_signs_unless_told_otherwise(read: Read) -> None:
    settings = read()
    assert (settings.jwt_algorithm, settings.jwt_private_key, settings.jwt_public_key) == ("HS256", None, None)
    assert settings.jwt_secret_key is not None


@pytest.mark.parametrize("pair", PAIRS)
def test_development_makes_its_own_pair_once_and_for_its_owner_alone(read: Read, pair: str) -> None:
    first = read(JWT_ALGORITHM=pair)
    assert first.jwt_private_key is not None
    assert first.jwt_secret_key is None
    assert read().jwt_private_key == first.jwt_private_key
    kept = Path(".data/secrets") / f"jwt_private_key_{pair.lower()}"
    assert kept.read_text() == first.jwt_private_key.get_secret_value()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    load_pem_private_key(kept.read_bytes(), None)


@pytest.mark.parametrize("pair", PAIRS)
def test_production_needs_the_private_key_of_a_pair_and_no_secret(read: Read, pair: str) -> None:
    assert refusal(read, **PRODUCTION, JWT_ALGORITHM=pair) == "JWT_PRIVATE_KEY is required in production"
    settings = read(JWT_PRIVATE_KEY=key_of(pair))
    assert (settings.jwt_secret_key, settings.seal_key) == (None, ())
    assert not Path(".data").exists()


def test_production_needs_the_secret_where_one_signs(read: Read) -> None:
    assert refusal(read, **PRODUCTION) == "JWT_SECRET_KEY is required in production"


@pytest.mark.parametrize("algorithm", ["none", "RS512", "hs256", "ES256", "HS256,RS256"])
def test_another_algorithm_is_refused(read: Read, algorithm: str) -> None:
    assert "JWT_ALGORITHM Input should be 'HS256', 'RS256' or 'EdDSA'" in refusal(read, JWT_ALGORITHM=algorithm)


def test_a_private_key_that_nothing_would_sign_with_is_refused(read: Read) -> None:
    said = "JWT_PRIVATE_KEY is set, and JWT_ALGORITHM is not: set that to RS256 or EdDSA"
    assert refusal(read, JWT_PRIVATE_KEY=key_of("EdDSA")) == said


@pytest.mark.parametrize("key", [key_of("RS256"), public_of(key_of("EdDSA"))])
def test_a_key_of_a_pair_is_no_secret(read: Read, key: str) -> None:
    said = "JWT_SECRET_KEY is a key of a pair: name it JWT_PRIVATE_KEY, and set JWT_ALGORITHM"
    assert refusal(read, JWT_SECRET_KEY=key) == said


@pytest.mark.parametrize("pair", PAIRS)
def test_a_pem_may_be_one_line(read: Read, pair: str) -> None:
    key = key_of(pair)
    settings = read(JWT_ALGORITHM=pair, JWT_PRIVATE_KEY=key.replace("\n", "\\n"))
    assert settings.jwt_private_key is not None
    assert settings.jwt_private_key.get_secret_value() == key


@pytest.mark.parametrize("pair", PAIRS)
def test_keys_may_be_in_files(read: Read, pair: str, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("private.pem", "old.pem", "older.pem")]
    old, older = public_of(key_of(pair, 1)), public_of(key_of(pair, 2))
    for path, content in zip(paths, (key_of(pair), old, older), strict=True):
        path.write_text(content)
    settings = read(
        JWT_ALGORITHM=pair, JWT_PRIVATE_KEY_PATH=str(paths[0]), JWT_PUBLIC_KEY_PATH=f"{paths[1]}, {paths[2]}"
    )
    assert settings.jwt_private_key is not None
    assert settings.jwt_private_key.get_secret_value() == key_of(pair)
    assert settings.jwt_public_key == f"{old}\n{older}"
    assert read(JWT_PUBLIC_KEY=older).jwt_public_key == older, "the key itself wins over the file"


def test_a_file_that_cannot_be_read_is_named(read: Read, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    given = {"JWT_ALGORITHM": "EdDSA"}
    for path, why in (("nowhere", "No such file or directory"), ("folder", "Is a directory"), ("binary", "no text")):
        assert refusal(read, **given, JWT_PRIVATE_KEY_PATH=path).startswith("JWT_PRIVATE_KEY_PATH cannot be read: ")
        assert why in refusal(read, JWT_PRIVATE_KEY_PATH=path)
    said = refusal(read, JWT_PRIVATE_KEY_PATH="", JWT_PUBLIC_KEY_PATH="nowhere")
    assert said == "JWT_PUBLIC_KEY_PATH cannot be read: No such file or directory"


def encrypted(key: str) -> str:
    private: Any = load_pem_private_key(key.encode(), None)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")).decode()


@pytest.mark.parametrize(
    ("pair", "key", "why"),
    [
        ("RS256", short_key(), "is an RSA key of 1024 bits: it needs 2048"),
        ("RS256", key_of("EdDSA"), "is no private key of RS256"),
        ("EdDSA", key_of("RS256"), "is no private key of EdDSA"),
        ("RS256", public_of(key_of("RS256")), "is no private key in PEM"),
        ("EdDSA", "a secret", "is no private key in PEM"),
        ("EdDSA", encrypted(key_of("EdDSA")), "is encrypted: give it without a passphrase"),
        pytest.param("EdDSA", key_of("EdDSA")[:60], "is no private key in PEM", id="EdDSA-cut short"),
    ],
)
def test_a_private_key_that_cannot_sign_is_refused(read: Read, pair: str, key: str, why: str) -> None:
    assert refusal(read, JWT_ALGORITHM=pair, JWT_PRIVATE_KEY=key) == f"JWT_PRIVATE_KEY {why}"


@pytest.mark.parametrize(
    ("pair", "keys", "why"),
    [
        ("RS256", public_of(short_key()), "is an RSA key of 1024 bits: it needs 2048"),
        ("RS256", public_of(key_of("RS256")) + public_of(key_of("EdDSA")), "is no public key of RS256"),
        ("EdDSA", public_of(key_of("RS256")), "is no public key of EdDSA"),
        ("EdDSA", key_of("EdDSA"), "is no public key in PEM"),
        ("EdDSA", public_of(key_of("EdDSA")) + "and more", "is no public key in PEM"),
        ("EdDSA", "a secret", "is no public key in PEM"),
        ("EdDSA", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "is no public key in PEM"),
    ],
)
def test_a_public_key_that_cannot_verify_is_refused(read: Read, pair: str, keys: str, why: str) -> None:
    given = {"JWT_ALGORITHM": pair, "JWT_PRIVATE_KEY": key_of(pair)}
    assert refusal(read, **given, JWT_PUBLIC_KEY=keys) == f"JWT_PUBLIC_KEY {why}"


# Secrets


def test_several_keys_are_told_apart_by_commas(read: Read) -> None:
    settings = read(SEAL_KEY="new, old", JWT_PREVIOUS_SECRET_KEYS="one,two,")
    assert [key.get_secret_value() for key in settings.seal_key] == ["new", "old"]
    assert [key.get_secret_value() for key in settings.jwt_previous_secret_keys] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET_KEY", "weak-one"),
        ("JWT_PREVIOUS_SECRET_KEYS", f"{STRONG},weak-one"),
        ("SEAL_KEY", f"{STRONG},weak-one"),
        ("SETUP_TOKEN", "weak-one"),
        ("INTERNAL_API_KEY", "weak-one"),
        ("CRON_SECRET", "weak-one"),
        ("EDGE_KEY", "weak-one"),
    ],
)
def test_production_refuses_a_weak_secret_by_name(read: Read, name: str, value: str) -> None:
    given = {"JWT_SECRET_KEY": STRONG, **PRODUCTION, name: value}
    said = refusal(read, **given)
    assert said == f"{name} must have at least 32 characters in production"
    assert read(ENVIRONMENT="development")


def test_an_empty_secret_is_a_weak_one() -> None:
    """The environment's empty value counts as not set; a store of secrets may still hold one."""
    with pytest.raises(ValueError, match="SETUP_TOKEN must have at least 32 characters"):
        Settings(environment="production", setup_token="", _env_file=None)  # pyright: ignore


def test_development_makes_no_setup_token(read: Read) -> None:
    assert read().setup_token is None


def test_an_email_alone_signs_in_nowhere_in_production(read: Read) -> None:
    assert read(EMAIL_ONLY_LOGIN="true").email_only_login
    said = refusal(read, **PRODUCTION, JWT_SECRET_KEY=STRONG)
    assert said == "EMAIL_ONLY_LOGIN lets anybody in who knows an address: production refuses it"
    assert not read(EMAIL_ONLY_LOGIN="").email_only_login


@pytest.mark.parametrize("name", ["ACCESS_TOKEN_EXPIRE_MINUTES", "REFRESH_TOKEN_EXPIRE_DAYS"])
def test_a_token_lasts_longer_than_nothing(read: Read, name: str) -> None:
    for value in ("0", "-1", "soon"):
        with pytest.raises(SettingsInvalid, match=name):
            read(**{name: value})


# Limits


def test_limits_that_are_not_named_keep_their_own(read: Read) -> None:
    assert read().rate_limits == DEFAULT_RATE_LIMITS
    assert read(RATE_LIMITS="chat=0, login = 10").rate_limits == {**DEFAULT_RATE_LIMITS, "chat": 0, "login": 10}


def test_limits_are_frozen(read: Read) -> None:
    limits: Any = read(RATE_LIMITS="chat=0").rate_limits
    with pytest.raises(TypeError):
        limits["chat"] = 5


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("signup=5", "limits nothing that is called 'signup': it takes login, register, refresh, reset"),
        ("5", "limits nothing that is called '5'"),
        ("chat", "takes a number of attempts a minute: chat=5"),
        ("chat=", "takes a number of attempts a minute: chat=5"),
        ("chat=-1", "takes a number of attempts a minute: chat=5"),
        ("chat=1.5", "takes a number of attempts a minute: chat=5"),
        ("chat=²", "takes a number of attempts a minute: chat=5"),
        ("chat=many", "takes a number of attempts a minute: chat=5"),
    ],
)
def test_a_limit_that_cannot_be_is_named(read: Read, value: str, why: str) -> None:
    assert refusal(read, RATE_LIMITS=value).startswith(f"RATE_LIMITS {why}")


# Mail


SENDS = {"MAIL_FROM": "Parley <parley@example.com>", "PUBLIC_URL": "https://chat.example.com/"}


def test_mail_is_sent_in_one_way(read: Read) -> None:
    settings = read(**SENDS, SMTP_URL="smtp://user:word@mail.example.com:587")
    assert (settings.mail_from, settings.public_url) == (SENDS["MAIL_FROM"], "https://chat.example.com")
    assert "word" not in repr(settings)
    said = refusal(read, SES_REGION="eu-central-1")
    assert said == "SMTP_URL and SES_REGION are two ways to send mail: set one"


@pytest.mark.parametrize("url", ["mail.example.com", "https://mail.example.com", "smtp://", "smtp:///x"])
def test_a_mail_server_that_is_none_is_refused(read: Read, url: str) -> None:
    assert refusal(read, **SENDS, SMTP_URL=url) == "SMTP_URL is not the URL of a mail server"


@pytest.mark.parametrize("way", [{"SMTP_URL": "smtps://mail.example.com"}, {"SES_REGION": "eu-central-1"}])
def test_mail_needs_a_sender_and_somewhere_for_its_links_to_lead(read: Read, way: dict[str, str]) -> None:
    said = refusal(read, **PRODUCTION, JWT_SECRET_KEY=STRONG, **way)
    assert said == "MAIL_FROM is required to send mail; PUBLIC_URL is required to send mail, links in it lead there"
    assert "MAIL_FROM is required" in refusal(read, MAIL_FROM="Parley", PUBLIC_URL="https://chat.example.com")


def test_links_lead_to_the_front_end_of_a_laptop(read: Read) -> None:
    assert read().public_url == "http://localhost:3000"
    assert read(**PRODUCTION, JWT_SECRET_KEY=STRONG).public_url is None
    assert refusal(read, PUBLIC_URL="chat.example.com") == "PUBLIC_URL is not a URL"
