"""Mail in development: it is written to the log."""

import logging

from lib.mail.base import Message

_log = logging.getLogger("parley.mail")


class LogMailer:
    """Shows whoever runs Parley what would have been sent."""

    async def send(self, message: Message) -> None:
        """Write the mail down."""
        _log.info("mail to %s: %s\n\n%s", message.to, message.subject, message.text)
