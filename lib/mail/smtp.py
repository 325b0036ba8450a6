"""Mail by a server that speaks SMTP, with Python's own client in a thread. What leaves the machine is encrypted."""

import asyncio
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid, parseaddr
from typing import Final
from urllib.parse import unquote, urlsplit

from lib.mail.base import MailNotSent, Message, on_the_wire

TIMEOUT: Final = 10.0
"""Seconds for each step."""

_PORTS: Final = {"smtp": 587, "smtps": 465}
_OURSELVES: Final = {"localhost", "127.0.0.1", "::1"}
_POLICY: Final = SMTP.clone(cte_type="7bit")  # not every server takes eight bits


class SmtpMailer:
    """Sends through one server: TLS from the start (`smtps://`), or STARTTLS, verified either way."""

    def __init__(self, url: str, sender: str) -> None:
        """Take the server, `smtp://user:password@host:587` or `smtps://`, and the sender, with or without a name."""
        parts = urlsplit(url)
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        name, address = parseaddr(sender)
        self._sender = Address(name, addr_spec=on_the_wire(address))
        self._domain = self._sender.domain

    async def send(self, message: Message) -> None:
        """Have the server take the mail.

        Raises:
            MailNotSent: it refuses, offers no encryption, shows no certificate that holds, or does not answer.
        """
        await asyncio.to_thread(self._send, self._compose(message))

    def _compose(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=_POLICY)
        mail["From"], mail["To"], mail["Subject"] = self._sender, on_the_wire(message.to), message.subject
        mail["Date"], mail["Message-ID"] = localtime(), make_msgid(domain=self._domain)
        mail["Auto-Submitted"] = "auto-generated"  # nobody's autoresponder is to answer (RFC 3834)
        mail.set_content(message.text)
        return mail

    def _send(self, mail: EmailMessage) -> None:
        try:
            with self._connected() as server:
                self._encrypt(server)
                if self._login:
                    server.login(*self._login)
                server.send_message(mail)
        except smtplib.SMTPResponseException as error:  # its words may repeat an address
            raise MailNotSent(f"the mail server answered {error.smtp_code}") from error
        except (OSError, smtplib.SMTPException) as error:
            raise MailNotSent(f"the mail server cannot be used: {type(error).__name__}") from error

    def _connected(self) -> smtplib.SMTP:
        # By a name of our own: smtplib would look one up.
        if self._scheme == "smtp":
            return smtplib.SMTP(self._host, self._port, self._domain, timeout=TIMEOUT)
        tls = ssl.create_default_context()
        return smtplib.SMTP_SSL(self._host, self._port, self._domain, timeout=TIMEOUT, context=tls)

    def _encrypt(self, server: smtplib.SMTP) -> None:
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
        elif self._scheme == "smtp" and self._host not in _OURSELVES:
            raise MailNotSent("the mail server offers no encryption")
