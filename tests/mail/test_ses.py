"""Mail by Amazon SES: taken by moto's server, and asked for as AWS's own client asks."""

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from email.utils import parseaddr
from typing import Any

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.server import ThreadedMotoServer
from moto.ses.models import ses_backends
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lib.mail.base import MailNotSent, Message
from lib.mail.ses import SesMailer
from tests.fixtures.web import serving

REGION = "eu-central-1"
SENDER = "Pärley <parley@example.com>"
MESSAGE = Message("jo@exämple.com", "Grüße an 人", "Zeile eins\nEnde ✓\n")


@pytest.fixture(scope="module")
def endpoint() -> Generator[str]:
    """An AWS of the tests' own."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def _environment(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret of the account")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)


def awss_own_client(endpoint: str) -> Any:
    return boto3.client("sesv2", region_name=REGION, endpoint_url=endpoint)


async def test_ses_takes_a_mail_of_a_sender_that_it_knows(endpoint: str) -> None:
    awss_own_client(endpoint).create_email_identity(EmailIdentity="parley@example.com")
    await SesMailer(REGION, SENDER).send(MESSAGE)
    (taken,) = ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages
    assert parseaddr(taken.source) == ("=?utf-8?q?P=C3=A4rley?=", "parley@example.com")
    assert (taken.subject, taken.body) == (MESSAGE.subject, MESSAGE.text)
    assert taken.destinations == {"ToAddresses": ["jo@xn--exmple-cua.com"]}


async def test_a_refusal_is_said_without_repeating_an_address() -> None:
    with pytest.raises(MailNotSent, match=r"^Amazon SES answered 400") as refused:
        await SesMailer(REGION, "nobody@example.org").send(MESSAGE)
    assert "@" not in str(refused.value)


async def test_a_service_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(MailNotSent, match=r"^Amazon SES does not answer: ConnectionRefusedError$"):
        await SesMailer(REGION, SENDER).send(MESSAGE)


async def test_without_keys_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(MailNotSent, match="needs AWS_ACCESS_KEY_ID"):
        await SesMailer(REGION, SENDER).send(MESSAGE)


Asked = tuple[str, str, dict[str, str], bytes]


@asynccontextmanager
async def listening() -> AsyncGenerator[tuple[str, list[Asked]]]:
    """Answer every request as SES does, and keep it."""
    asked: list[Asked] = []

    async def take(request: Request) -> JSONResponse:
        asked.append((request.method, request.url.path, dict(request.headers), await request.body()))
        return JSONResponse({"MessageId": "1"})

    async with serving(Starlette(routes=[Route("/{rest:path}", take, methods=["POST"])])) as url:
        yield url, asked


class Recorded(Exception):
    """What AWS's own client would have sent."""


async def test_what_is_asked_is_what_awss_own_client_asks(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = awss_own_client(endpoint)
    theirs: list[Any] = []

    def keep(request: Any, **_: object) -> None:
        theirs.append(request)
        raise Recorded

    client.meta.events.register("before-send.sesv2.SendEmail", keep)
    content = {
        "Subject": {"Data": MESSAGE.subject, "Charset": "UTF-8"},
        "Body": {"Text": {"Data": MESSAGE.text, "Charset": "UTF-8"}},
    }
    with pytest.raises(Recorded):
        client.send_email(
            FromEmailAddress="=?utf-8?q?P=C3=A4rley?= <parley@example.com>",
            Destination={"ToAddresses": ["jo@xn--exmple-cua.com"]},
            Content={"Simple": content},
        )
    async with listening() as (url, asked):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        await SesMailer(REGION, SENDER).send(MESSAGE)
    ((method, path, headers, body),) = asked
    assert (method, path) == (theirs[0].method, theirs[0].url.removeprefix(endpoint))
    assert json.loads(body) == json.loads(theirs[0].body)
    scope = f"/{REGION}/ses/aws4_request"
    assert scope in theirs[0].headers["Authorization"].decode()
    assert scope in headers["authorization"]
