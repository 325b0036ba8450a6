"""A mail, and what sends one."""

from dataclasses import dataclass
from typing import Protocol

# Its signature names dnspython's types, which a type checker does not find on every machine.
from email_validator import EmailNotValidError, validate_email  # pyright: ignore[reportUnknownVariableType]


class MailNotSent(Exception):
    """A mail did not leave. The message says what the server did, without an address, for the operator."""


@dataclass(frozen=True, slots=True)
class Message:
    """A mail of plain text to one person.

    Raises:
        ValueError: the address or the subject is more than one line, so that it could add headers of its own.
    """

    to: str
    subject: str
    text: str

    def __post_init__(self) -> None:
        """Refuse what no header holds."""
        if not (self.to.isprintable() and self.subject.isprintable()):
            raise ValueError("a header of a mail is one line")


class Mailer(Protocol):
    """Sends mails."""

    async def send(self, message: Message) -> None:
        """Hand a mail over to whoever delivers it.

        Raises:
            MailNotSent: it did not leave.
        """
        ...


def on_the_wire(address: str) -> str:
    """Return an address as servers spell it: its domain in ASCII, and all of it where that is possible."""
    try:
        parsed = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return address
    return parsed.ascii_email or f"{parsed.local_part}@{parsed.ascii_domain}"
