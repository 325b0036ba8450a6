"""What goes wrong in what Parley depends on: the database, storage, the models, the operator's own secrets."""

from lib.errors.base import ParleyError


class Busy(ParleyError):
    """More is asked of this instance at this moment than it has time for: as a rule, too many people sign in."""

    code = "busy"
    detail = "Too many people are signing in right now. Try again shortly."


class MailUnavailable(ParleyError):
    """This deployment sends no mail: the operator has to say how."""

    code = "mail_unavailable"
    detail = "This deployment cannot send mail. Ask whoever runs it."


class DatabaseUnavailable(ParleyError):
    """Postgres cannot be reached, or not in time."""

    code = "database_unavailable"
    detail = "The database cannot be reached right now. Try again shortly."


class DatabaseBusy(ParleyError):
    """Postgres answers others, and no connection came free for this one in time. Nothing was asked of it."""

    code = "database_busy"
    detail = "Too much is asked of the database right now. Try again shortly."


class ReportTooLong(ParleyError):
    """A report reads more than Postgres manages in the time that it is given."""

    code = "report_too_long"
    detail = "There is too much to count in the time that a report is given."


class Unsealable(ParleyError):
    """A stored secret is opened by no key that this deployment has: the operator has taken a SEAL_KEY away."""

    code = "unsealable"
    detail = "A stored secret cannot be opened with this deployment's keys. The operator has to put SEAL_KEY back."


class StorageUnavailable(ParleyError):
    """Object storage cannot be used. `reason` says what it did, for the operator: "refuses our key", say."""

    code = "storage_unavailable"
    detail = "Files cannot be reached right now. Try again shortly."

    def __init__(self, reason: str) -> None:
        """Keep the reason apart from the sentence for the caller. It holds no address, key or path."""
        super().__init__()
        self.reason = reason


class RetrievalUnavailable(ParleyError):
    """The documents cannot be searched right now."""

    code = "retrieval_unavailable"
    detail = "The documents cannot be searched right now."


class Interrupted(ParleyError):
    """The instance has to end, or the client has left, before the answer was complete."""

    code = "interrupted"
    detail = "The answer was interrupted. What had been written of it is kept. Ask again."


class NoProvider(ParleyError):
    """No model is configured."""

    code = "no_provider"
    detail = (
        "No model is configured. Set OPENAI_API_KEY (with OPENAI_BASE_URL for any compatible endpoint), GEMINI_API_KEY"
        " or VLLM_ENDPOINT, or start everything locally with `make dev`."
    )


class ProviderError(ParleyError):
    """The model's provider failed. The vendor's own text stays in our log.

    Attributes:
        away: whether it was not there at all, whatever it was asked.
    """

    code = "provider_error"
    detail = "The model could not answer."

    def __init__(self, detail: str | None = None, *, retry_after: int | None = None, away: bool = False) -> None:
        """Keep what a caller is told, and apart from it what the next call should know."""
        super().__init__(detail, retry_after=retry_after)
        self.away = away


class ProviderUnavailable(ProviderError):
    """The provider did not answer the calls before this one, and is not asked again yet."""

    code = "provider_unavailable"
    detail = "The model cannot be reached right now. Try again shortly."


class ProviderTimeout(ProviderError):
    """The model was silent too long, or the turn took longer than `AGENT_TIMEOUT`."""

    code = "provider_timeout"
    detail = "The model took too long to answer."


class ProviderRateLimited(ProviderError):
    """The provider refuses more requests for now."""

    code = "provider_rate_limited"
    detail = "The model is busy. Try again shortly."


class ProviderRefused(ProviderError):
    """The provider does not accept our credentials or our model's name: the operator has to act."""

    code = "provider_refused"
    detail = "The model's provider does not accept this deployment's key or model."


class ContextTooLong(ProviderError):
    """The conversation and its passages do not fit the model."""

    code = "context_too_long"
    detail = "This message is too long for the model."


class WebhookFailed(ProviderError):
    """An agent's webhook failed, or answered what cannot be understood."""

    code = "webhook_failed"
    detail = "The agent's webhook failed."


class WebhookEmpty(ProviderError):
    """An agent's webhook answered without any text."""

    code = "webhook_empty"
    detail = "The agent's webhook answered without a text. Does its workflow respond with one?"


class WebhookRefused(ProviderError):
    """There is no webhook at an agent's address, or it does not accept the agent's token."""

    code = "webhook_refused"
    detail = "The agent's webhook does not accept the agent's token."


class AddressRefused(ProviderError):
    """An address that a team named may not be asked: as it is written, or for where it leads.

    Where it leads shows when it is connected to, so an address that could be saved may still be refused then.
    """

    code = "address_refused"
    detail = "This address may not be called: it leads into a private network."
