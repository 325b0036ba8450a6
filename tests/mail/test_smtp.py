"""Mail through a real mail server: encrypted, verified, and one line a header."""

import asyncio
from pathlib import Path

import pytest

from lib.mail.base import MailNotSent, Message
from lib.mail.smtp import SmtpMailer
from tests.doubles.mail_server import MailServer, make_certificate

SENDER = "Pärley ✉ <parley@example.com>"


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate whose CA this machine trusts, as far as Parley can tell."""
    authority, certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    return certificate


async def test_a_mail_arrives_as_it_was_written() -> None:
    message = Message("jo@example.com", "Grüße an 人", f"Zeile eins\n\n  {'x' * 200}\n.\nEnde ✓\n")
    async with MailServer() as server:
        await SmtpMailer(server.url, SENDER).send(message)
    (mail,) = server.mails
    assert mail.get_content().replace("\r\n", "\n") == message.text
    assert (mail["Subject"], mail["To"], str(mail["From"])) == (message.subject, message.to, SENDER)
    assert mail["Message-ID"].endswith("@example.com>")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.utcoffset() is not None
    assert server.recipients == ["jo@example.com"]


@pytest.mark.parametrize("tls", ["starttls", "from the start"])
async def test_a_server_that_encrypts_is_asked_to_and_told_the_password_then(tls: str, certificate: Path) -> None:
    async with MailServer(tls, certificate=certificate) as server:  # pyright: ignore[reportArgumentType]
        await SmtpMailer(server.url, SENDER).send(Message("jo@example.com", "Hello", "Text"))
    assert (server.encrypted, server.authenticated) == ([True], [True])


@pytest.mark.parametrize("tls", ["starttls", "from the start"])
async def test_a_certificate_that_nobody_vouches_for_gets_no_mail_and_no_password(tls: str, tmp_path: Path) -> None:
    _, certificate = make_certificate(tmp_path)
    async with MailServer(tls, certificate=certificate) as server:  # pyright: ignore[reportArgumentType]
        with pytest.raises(MailNotSent, match="SSLCertVerificationError"):
            await SmtpMailer(server.url, SENDER).send(Message("jo@example.com", "Hello", "Text"))
    assert server.mails == []


async def test_a_certificate_of_another_name_gets_no_mail(certificate: Path) -> None:
    async with MailServer("starttls", certificate=certificate, host="127.0.0.2") as server:
        with pytest.raises(MailNotSent, match="SSLCertVerificationError"):
            await SmtpMailer(server.url, SENDER).send(Message("jo@x.de", "Hello", ""))
    assert server.mails == []


async def test_nothing_leaves_the_machine_in_clear_text() -> None:
    async with MailServer(host="127.0.0.2") as server:
        with pytest.raises(MailNotSent, match="offers no encryption"):
            await SmtpMailer(server.url, SENDER).send(Message("jo@x.de", "Hello", ""))
    assert server.mails == []


async def test_a_wrong_password_is_said_without_repeating_anything(certificate: Path) -> None:
    async with MailServer("starttls", certificate=certificate) as server:
        with pytest.raises(MailNotSent) as refused:
            await SmtpMailer(server.url.replace("p%40ss", "another"), SENDER).send(Message("jo@x.de", "Hello", ""))
    assert str(refused.value) == "the mail server answered 535"


async def test_a_server_that_is_away_is_said() -> None:
    async with MailServer() as server:
        url = server.url
    with pytest.raises(MailNotSent, match="ConnectionRefusedError"):
        await SmtpMailer(url, SENDER).send(Message("jo@example.com", "Hello", "Text"))


async def test_sending_leaves_the_event_loop_to_others() -> None:
    async with MailServer() as server:
        server.hold()
        sending = asyncio.create_task(SmtpMailer(server.url, SENDER).send(Message("jo@example.com", "Hello", "Text")))
        await asyncio.sleep(0.05)
        assert not sending.done()
        server.release()
        await sending


@pytest.mark.parametrize(
    ("address", "taken"),
    [("jo@exämple.com", "jo@xn--exmple-cua.com"), ("jörg@exämple.com", "jörg@xn--exmple-cua.com")],
)
async def test_an_address_beyond_ascii_is_spelled_as_servers_do(address: str, taken: str) -> None:
    async with MailServer() as server:
        await SmtpMailer(server.url, "Pärley <parley@exämple.com>").send(Message(address, "Hello", "Text"))
    assert server.recipients == [taken]


@pytest.mark.parametrize("line", ["\n", "\r", "\r\n", "\0", "\x85", "\u2028"])
@pytest.mark.parametrize("field", ["to", "subject"])
def test_a_header_that_would_add_another_is_no_mail(field: str, line: str) -> None:
    headers = {"to": "jo@example.com", "subject": "Hello"}
    headers[field] += f"{line}Bcc: everybody@example.com"
    with pytest.raises(ValueError, match="one line"):
        Message(**headers, text="")
