"""Mail by Amazon SES: one signed POST, with Python's own client in a thread (docs/decisions/mail.md).

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

import asyncio
from email.utils import formataddr, parseaddr
from http.client import HTTPException
from typing import Any, Final

import msgspec

from lib.mail.base import MailNotSent, Message, on_the_wire
from lib.secrets.signing import post, signed_headers
from lib.settings import aws_account

TIMEOUT: Final = 10.0
"""Seconds for each step."""

_PATH: Final = "/v2/email/outbound-emails"
_HEADERS: Final = {"content-type": "application/json"}


class SesMailer:
    """Sends as the account that the environment names: on Lambda the function's own role."""

    def __init__(self, region: str, sender: str) -> None:
        """Take where SES is asked, and the sender: `Parley <parley@example.com>`, verified with SES."""
        self._region = region
        name, address = parseaddr(sender)
        self._sender = formataddr((name, on_the_wire(address)))

    async def send(self, message: Message) -> None:
        """Have SES take the mail.

        Raises:
            MailNotSent: it refuses, or does not answer.
        """
        account = aws_account(self._region)
        if account is None:
            raise MailNotSent("SES_REGION needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        url, body = account.url("email") + _PATH, msgspec.json.encode(self._request(message))
        headers = signed_headers(url, _HEADERS, body, account, service="ses")
        await asyncio.to_thread(_post, url, body, headers)

    def _request(self, message: Message) -> dict[str, Any]:
        content = {
            "Subject": {"Data": message.subject, "Charset": "UTF-8"},
            "Body": {"Text": {"Data": message.text, "Charset": "UTF-8"}},
        }
        return {
            "FromEmailAddress": self._sender,
            "Destination": {"ToAddresses": [on_the_wire(message.to)]},
            "Content": {"Simple": content},
        }


def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    try:
        status, told, _ = post(url, body, headers, timeout=TIMEOUT)
    except (OSError, HTTPException) as error:
        raise MailNotSent(f"Amazon SES does not answer: {type(error).__name__}") from error
    if status != 200:
        # The name alone: its message repeats the addresses.
        kind_of_error = told.get("x-amzn-errortype", "").partition(":")[0]
        raise MailNotSent(f"Amazon SES answered {status} {kind_of_error}".rstrip())
