"""How mail leaves: as the settings say, and never into the log of a deployment."""

import logging
from typing import Any

import pytest

from lib.mail import get_mailer
from lib.mail.base import Message
from lib.mail.log import LogMailer
from lib.mail.ses import SesMailer
from lib.mail.smtp import SmtpMailer
from tests.fixtures.web import make_settings

IN_PRODUCTION = {"environment": "production", "guest_chat": False, "public_url": "https://chat.example.com"}


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"smtp_url": "smtp://mail.example.com", "mail_from": "parley@example.com"}, SmtpMailer),
        ({"ses_region": "eu-central-1", "mail_from": "parley@example.com"}, SesMailer),
        ({}, LogMailer),
        (IN_PRODUCTION, type(None)),
        (IN_PRODUCTION | {"ses_region": "eu-central-1", "mail_from": "parley@example.com"}, SesMailer),
    ],
)
def test_the_settings_say_how_mail_leaves(settings: dict[str, Any], kind: type) -> None:
    assert isinstance(get_mailer(make_settings("postgresql://nowhere", "http://127.0.0.1:9", **settings)), kind)


async def test_development_shows_a_mail_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "parley.mail")
    await LogMailer().send(Message("jo@example.com", "Grüße", "A link:\n\nhttp://localhost:3000/#token"))
    (line,) = caplog.messages
    assert all(part in line for part in ("jo@example.com", "Grüße", "http://localhost:3000/#token"))
