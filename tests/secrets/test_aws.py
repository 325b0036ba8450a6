"""A secret of AWS Secrets Manager: against moto's server, and its signature against AWS's own client.

moto does not check signatures, so botocore's signer says whether ours is right.
"""

import json
import socket
import sys
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer

from lib.secrets.aws import ATTEMPTS, HEADERS, SecretUnreadable, read_secret
from lib.secrets.signing import Account, signed_headers
from lib.settings import Settings, SettingsInvalid, get_settings

SIGNING_KEY = "signing-key-in-the-secret-0123456789"
ACCOUNT = Account("eu-central-1", "AKIDEXAMPLE", "a secret of the account", "a token")


@pytest.fixture(scope="module")
def aws() -> Generator[Account]:
    """An AWS of the tests' own."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield replace(ACCOUNT, endpoint=f"http://{host}:{port}")
    server.stop()


def keep(aws: Account, name: str, content: Any) -> str:
    """Keep a secret, as an operator does with AWS's own client, and return its ARN."""
    client: Any = boto3.client(
        "secretsmanager",
        region_name=aws.region,
        endpoint_url=aws.endpoint,
        aws_access_key_id=aws.access_key,
        aws_secret_access_key=aws.secret_key,
    )
    return client.create_secret(Name=name, SecretString=content)["ARN"]


@pytest.fixture
def deployed(aws: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[pytest.MonkeyPatch]:
    """The environment that Lambda gives a function, and nothing of this machine's."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("NEON_DATABASE_URL", "DATABASE_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "parley-prod-chat")
    monkeypatch.setenv("AWS_REGION", aws.region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint or "")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


def variables(**more: str) -> str:
    return json.dumps({"JWT_SECRET_KEY": SIGNING_KEY, "NEON_DATABASE_URL": "postgresql://neon", **more})


@pytest.mark.parametrize("by", ["name", "ARN"])
def test_settings_come_from_the_secret_that_the_environment_names(
    aws: Account, deployed: pytest.MonkeyPatch, by: str
) -> None:
    arn = keep(aws, f"parley/by-{by}", variables(PROVIDERS="openai", OPENAI_API_KEY="key", GUEST_CHAT="true"))
    deployed.setenv("SECRETS_ID", arn if by == "ARN" else "parley/by-name")
    settings = get_settings()
    assert settings.jwt_secret_key is not None
    assert settings.jwt_secret_key.get_secret_value() == SIGNING_KEY
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://neon"
    assert settings.providers == ("openai",)
    assert settings.guest_chat is True
    assert settings.environment == "production"


def test_the_environment_wins_over_the_secret_and_an_empty_value_is_none(
    aws: Account, deployed: pytest.MonkeyPatch
) -> None:
    keep(aws, "parley/lower", variables(CHAT_MODEL="from-the-secret", DEFAULT_TEAM="", LOG_LEVEL="DEBUG"))
    deployed.setenv("SECRETS_ID", "parley/lower")
    deployed.setenv("CHAT_MODEL", "from-the-environment")
    deployed.setenv("LOG_LEVEL", "")
    settings = get_settings()
    assert settings.chat_model == "from-the-environment"
    assert settings.default_team == "default"
    assert settings.log_level == "DEBUG"


def test_the_secret_is_read_once_an_instance(aws: Account, deployed: pytest.MonkeyPatch) -> None:
    keep(aws, "parley/once", variables())
    deployed.setenv("SECRETS_ID", "parley/once")
    first = get_settings()
    deployed.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert get_settings() is first


def test_nothing_is_read_where_no_secret_is_named(deployed: pytest.MonkeyPatch) -> None:
    deployed.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    deployed.setenv("JWT_SECRET_KEY", SIGNING_KEY)
    deployed.setenv("DATABASE_URL", "postgresql://plain")
    deployed.delitem(sys.modules, "lib.secrets.aws")
    get_settings()
    assert "lib.secrets.aws" not in sys.modules


def test_what_cannot_work_in_a_secret_is_refused_as_in_the_environment(
    aws: Account, deployed: pytest.MonkeyPatch
) -> None:
    keep(aws, "parley/weak", variables(INTERNAL_API_KEY="hunter2"))
    deployed.setenv("SECRETS_ID", "parley/weak")
    with pytest.raises(SettingsInvalid, match="INTERNAL_API_KEY must have at least 32") as refused:
        get_settings()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("hunter2", "the secret is no JSON object of variables"),
        ('["hunter2"]', "the secret is no JSON object of variables"),
        ('{"JWT_SECRET_KEY": "hunter2", "AGENT_TIMEOUT": 20}', "the secret holds no text for AGENT_TIMEOUT"),
    ],
)
def test_a_secret_of_another_shape_is_refused_and_not_repeated(
    aws: Account, deployed: pytest.MonkeyPatch, content: str, complaint: str
) -> None:
    name = f"parley/{abs(hash(content))}"
    keep(aws, name, content)
    deployed.setenv("SECRETS_ID", name)
    with pytest.raises(SettingsInvalid, match=f"^SECRETS_ID cannot be read: {complaint}$") as refused:
        get_settings()
    assert "hunter2" not in str(refused.value)


def test_a_secret_that_is_not_there_is_refused_in_awss_word(deployed: pytest.MonkeyPatch) -> None:
    deployed.setenv("SECRETS_ID", "parley/nowhere")
    complaint = r"^SECRETS_ID cannot be read: AWS Secrets Manager answered ResourceNotFoundException$"
    with pytest.raises(SettingsInvalid, match=complaint):
        get_settings()


@pytest.mark.parametrize("missing", ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_secret_without_an_account_is_refused(deployed: pytest.MonkeyPatch, missing: str) -> None:
    deployed.setenv("SECRETS_ID", "parley/prod")
    deployed.delenv(missing)
    with pytest.raises(SettingsInvalid, match=f"^SECRETS_ID needs .*{missing}"):
        get_settings()


def test_a_service_that_nobody_answers_for_is_named() -> None:
    with pytest.raises(SecretUnreadable, match=r"^AWS Secrets Manager does not answer$"):
        read_secret("parley/prod", replace(ACCOUNT, endpoint="http://127.0.0.1:9"))


def test_a_service_that_trickles_is_waited_for_no_longer_than_lambda_waits_for_us() -> None:
    done = Event()

    def trickle(listener: socket.socket) -> None:
        caller, _ = listener.accept()
        with caller, suppress(OSError):
            caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not done.wait(0.05):
                caller.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Thread(target=trickle, args=(listener,))
        server.start()
        account = replace(ACCOUNT, endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(SecretUnreadable, match=r"^AWS Secrets Manager does not answer$"):
            read_secret("parley/prod", account, within=0.5)
        done.set()
        server.join()


class Faltering(BaseHTTPRequestHandler):
    """Answers the first read with what the server was told, and each later one as the service does."""

    def do_POST(self) -> None:
        server: Any = self.server
        server.asked.append(dict(self.headers))
        status, body = server.first if len(server.asked) == 1 else (200, b'{"SecretString": "{\\"A\\": \\"b\\"}"}')
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def faltering() -> Generator[Any]:
    """A service that fails once; `asked` is what it was sent."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Faltering)
    server.asked = []
    Thread(target=server.serve_forever).start()
    yield server
    server.shutdown()
    server.server_close()


def asking(server: Any) -> Account:
    return replace(ACCOUNT, endpoint="http://{}:{}".format(*server.server_address))


@pytest.mark.parametrize("first", [(503, b"{}"), (200, b"<html>"), (500, b'{"__type": "InternalServiceError"}')])
def test_a_service_that_falters_once_is_asked_again(faltering: Any, first: tuple[int, bytes]) -> None:
    faltering.first = first
    assert read_secret("parley/prod", asking(faltering)) == {"A": "b"}
    assert len(faltering.asked) == ATTEMPTS


def test_a_refusal_is_final_and_its_message_is_not_repeated(faltering: Any) -> None:
    faltering.first = (400, b'{"__type": "com.amazon#AccessDeniedException", "Message": "User x may not read y"}')
    with pytest.raises(SecretUnreadable, match=r"^AWS Secrets Manager answered AccessDeniedException$"):
        read_secret("parley/prod", asking(faltering))
    assert len(faltering.asked) == 1


def test_a_read_carries_what_was_signed(faltering: Any) -> None:
    faltering.first = (200, b'{"SecretString": "{}"}')
    account = asking(faltering)
    assert read_secret("parley/prod", account) == {}
    sent = {name.lower(): value for name, value in faltering.asked[0].items()}
    moment = datetime.strptime(sent["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    url, body = f"{account.endpoint}/", b'{"SecretId": "parley/prod"}'
    signed = signed_headers(url, HEADERS, body, account, service="secretsmanager", now=moment)
    assert {name: sent[name] for name in signed} == signed


@pytest.mark.parametrize("token", ["a token", None])
@pytest.mark.parametrize(
    ("host", "service", "path"),
    [("secretsmanager", "secretsmanager", "/"), ("email", "ses", "/v2/email/outbound-emails")],
)
def test_the_signature_is_the_one_that_awss_own_client_makes(
    host: str, service: str, path: str, token: str | None
) -> None:
    account = replace(ACCOUNT, session_token=token)
    url, body = account.url(host) + path, b'{"SecretId": "parley/prod"}'
    request = AWSRequest("POST", url, headers=HEADERS, data=body)
    credentials = Credentials(account.access_key, account.secret_key, token)
    SigV4Auth(credentials, service, account.region).add_auth(request)
    moment = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    ours = signed_headers(url, HEADERS, body, account, service=service, now=moment)
    assert ours == {"host": f"{host}.eu-central-1.amazonaws.com"} | {
        name.lower(): value for name, value in request.headers.items()
    }
