"""Mail: how it leaves is the operator's choice, and in development it need not leave at all."""

from lib.mail.base import Mailer
from lib.settings import Settings


def get_mailer(settings: Settings) -> Mailer | None:
    """Return what sends mail: Amazon SES or a mail server, as the settings say; in development else the log.

    None in production where neither is set: the log of a deployment is no place for a link that opens an account.
    """
    sender = settings.mail_from or "parley@localhost"
    if settings.ses_region:
        from lib.mail.ses import SesMailer

        return SesMailer(settings.ses_region, sender)
    if settings.smtp_url:
        from lib.mail.smtp import SmtpMailer

        return SmtpMailer(settings.smtp_url.get_secret_value(), sender)
    if settings.environment == "development":
        from lib.mail.log import LogMailer

        return LogMailer()
    return None
