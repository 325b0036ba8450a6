"""A mail server on loopback, which keeps what it is handed; with TLS by a certificate that the tests' own CA signs."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "parley", "p@ss:word/of the server"


class MailServer:
    """Takes mails once it is started: `async with MailServer(...) as server`.

    Attributes:
        url: what SMTP_URL is.
        mails: what was handed over, as their readers see it.
        recipients: to whom, by the envelope.
        encrypted: for each mail, whether it came over TLS.
        authenticated: for each mail, whether the password was told, and right.
    """

    def __init__(
        self,
        tls: Literal["none", "starttls", "from the start"] = "none",
        *,
        certificate: Path | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """Make a server; with TLS it needs the `certificate` that `make_certificate` made."""
        self._tls, self._host = tls, host
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
        if self._context and certificate:
            self._context.load_cert_chain(certificate)
        self._taking = asyncio.Event()
        self._taking.set()
        self._came = asyncio.Condition()
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.encrypted: list[bool] = []
        self.authenticated: list[bool] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        context = self._context if self._tls == "from the start" else None
        self._server = await loop.create_server(self._protocol(loop), self._host, 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._taking.set()
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it listens, with the user it lets in where it encrypts."""
        if self._tls == "none":
            return f"smtp://{self._host}:{self.port}"
        scheme = "smtp" if self._tls == "starttls" else "smtps"
        host = "localhost" if self._host == "127.0.0.1" else self._host
        return f"{scheme}://{USER}:{quote(PASSWORD, safe='')}@{host}:{self.port}"

    def hold(self) -> None:
        """Take no mail until `release`: whoever hands one over waits."""
        self._taking.clear()

    def release(self) -> None:
        """Take mails again."""
        self._taking.set()

    async def mails_to(self, address: str, count: int = 1) -> list[EmailMessage]:
        """Return the mails to an address, once there are `count`."""
        async with self._came:
            await self._came.wait_for(lambda: self.recipients.count(address) >= count)
        return [mail for mail, to in zip(self.mails, self.recipients, strict=True) if to == address]

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        await self._taking.wait()
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients.extend(envelope.rcpt_tos)
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        self.authenticated.append(bool(session.authenticated))
        async with self._came:
            self._came.notify_all()
        return "250 taken"

    def _protocol(self, loop: asyncio.AbstractEventLoop) -> Callable[[], SMTP]:
        encrypts = self._tls != "none"
        return lambda: SMTP(
            self,
            hostname="mail.example.com",
            enable_SMTPUTF8=True,
            loop=loop,
            tls_context=self._context if self._tls == "starttls" else None,
            require_starttls=self._tls == "starttls",
            authenticator=_let_in if encrypts else None,
            auth_required=self._tls == "starttls",  # where TLS came first, aiosmtpd does not know of it
            auth_require_tls=self._tls == "starttls",
        )


def _let_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
    right = isinstance(given, LoginPassword) and given == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Return the files of a CA, and of a key and certificate that it signed for this machine's loopback."""
    now, ca_key, key = (
        datetime.now(UTC),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA of the tests")])

    def signed(name: x509.Name, public: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType) -> x509.Certificate:
        builder = x509.CertificateBuilder(ca_name, name, public, x509.random_serial_number(), now, now + timedelta(1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(ca_key, hashes.SHA256())

    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = signed(ca_name, ca_key.public_key(), x509.BasicConstraints(ca=True, path_length=None), identifier)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    server = signed(x509.Name([]), key.public_key(), names, issuer)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.pem").write_bytes(private + server.public_bytes(pem))
    return folder / "ca.pem", folder / "server.pem"
