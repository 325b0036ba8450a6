"""Everything that Parley refuses or fails at, as one tree.

A code is a promise to clients: it never changes once published. The tree knows no HTTP; `lib.web.app` gives each code
its status.
"""

from typing import ClassVar


class ParleyError(Exception):
    """The root. `detail` is a sentence for the caller: no secret, SQL, path or stack ever goes into it."""

    code: ClassVar[str] = "internal_error"
    detail: ClassVar[str] = "Something went wrong on our side."

    def __init__(self, detail: str | None = None, *, retry_after: int | None = None) -> None:
        """Keep the sentence, and the seconds after which a retry may succeed, when that is known."""
        super().__init__(detail or self.detail)
        self.retry_after = retry_after


class InvalidRequest(ParleyError):
    """The request itself is wrong; sending it again will not help."""

    code = "invalid_request"
    detail = "The request is not valid."


class PasswordTooCommon(InvalidRequest):
    """A new password is one of those that everybody tries first."""

    code = "password_too_common"
    detail = "This password is one of the most common. Choose another."


class MethodNotAllowed(ParleyError):
    """The path exists, and does not take this method."""

    code = "method_not_allowed"
    detail = "This path does not take this method."


class BodyTooLarge(ParleyError):
    """The body is larger than any request of this API."""

    code = "body_too_large"
    detail = "The request body is too large."


class ImageTooLarge(BodyTooLarge):
    """A picture that is larger than any that is kept."""

    code = "image_too_large"
    detail = "A picture has at most 2 MB."


class UnsupportedImage(ParleyError):
    """What was sent as a picture is none that every browser shows, or not a whole one."""

    code = "unsupported_image"
    detail = "This is no picture that is taken: PNG, JPEG, GIF and WebP are."


class Unauthenticated(ParleyError):
    """No credential, or one that does not hold."""

    code = "unauthenticated"
    detail = "Sign in first."


class RefreshInvalid(Unauthenticated):
    """A refresh token that is not ours, is spent, or belongs to a session that has ended."""

    code = "refresh_invalid"
    detail = "This sign-in has ended. Sign in again."


class InvalidChallenge(Unauthenticated):
    """What the second step of a log-in is given is not ours, has expired, or is spent."""

    code = "challenge_invalid"
    detail = "This log-in has taken too long or is over. Start again with the password."


class InvalidCredentials(ParleyError):
    """A login that does not fit. The same for an unknown address, a wrong password and an inactive account."""

    code = "invalid_credentials"
    detail = "The email or the password is wrong."


class InvalidCode(ParleyError):
    """A code of a second factor that is wrong, too old, or used: an app's or a recovery code."""

    code = "code_invalid"
    detail = "This code is not valid, or was used. Wait for the next one that your app shows."


class Forbidden(ParleyError):
    """Signed in, and not allowed."""

    code = "forbidden"
    detail = "You may not do this."


class ScopeMissing(Forbidden):
    """An API key that was not made for this."""

    code = "scope_missing"
    detail = "This API key may not do this."


class OriginRefused(Forbidden):
    """A page of another origin tries to use a browser's cookies."""

    code = "origin_refused"
    detail = "Pages of this origin may not do this. The operator can add it to ALLOWED_ORIGINS."


class NotFound(ParleyError):
    """It does not exist, or is a stranger's: the two look the same."""

    code = "not_found"
    detail = "There is nothing here."


class ConversationNotFound(NotFound):
    """No such conversation of this caller."""

    code = "conversation_not_found"
    detail = "There is no such conversation."


class TeamNotFound(NotFound):
    """No such team, or none that is active."""

    code = "team_not_found"
    detail = "There is no such team."


class EmailTaken(ParleyError):
    """The address has an account in this team."""

    code = "email_taken"
    detail = "This email already has an account."


class LastAdmin(ParleyError):
    """A change that would leave a team without an active administrator."""

    code = "last_admin"
    detail = "This is the team's last administrator. Make another one first."


class TooManyKeys(ParleyError):
    """An account has as many API keys as it may have."""

    code = "too_many_keys"
    detail = "This account has as many API keys as it may have. Revoke one first."


class SetupDone(ParleyError):
    """The default team has an administrator already."""

    code = "setup_done"
    detail = "This deployment has an administrator already."


class EmailOnlyLoginDisabled(Forbidden):
    """A log-in by an address alone, where that is not allowed."""

    code = "email_only_login_disabled"
    detail = "Signing in takes a password here."


class SecondFactorEnabled(ParleyError):
    """A second factor cannot be begun while there is one."""

    code = "second_factor_enabled"
    detail = "This account has a second factor already. Disable it first."


class SecondFactorMissing(ParleyError):
    """There is no second factor to do this with."""

    code = "second_factor_missing"
    detail = "This account has no second factor. Set one up first."


class TeamRequired(ParleyError):
    """The email and password fit accounts in more than one team."""

    code = "team_required"
    detail = "This email has accounts in several teams. Name the team."


class RateLimited(ParleyError):
    """Tried more often than is allowed. `limit` says how often that is, and `retry_after` when attempts are new."""

    code = "rate_limited"
    detail = "Too many attempts. Try again later."

    def __init__(self, detail: str | None = None, *, limit: int, retry_after: int) -> None:
        """Keep what the client is told: attempts a minute, and seconds."""
        super().__init__(detail, retry_after=retry_after)
        self.limit = limit


class Busy(ParleyError):
    """More people sign in at this moment than this instance has time for."""

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
    """The model's provider failed. The vendor's own text stays in our log."""

    code = "provider_error"
    detail = "The model could not answer."


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


def error_named(code: str) -> type[ParleyError]:
    """Return the error of this code; the root when no error has it."""
    waiting = [ParleyError]
    while waiting:
        error = waiting.pop()
        if error.code == code:
            return error
        waiting.extend(error.__subclasses__())
    return ParleyError
