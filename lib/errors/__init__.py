"""Everything that Parley refuses or fails at, as one tree.

A code is a promise to clients: it never changes once published. The tree knows no HTTP; `lib.web.app` gives each code
its status.
"""

from lib.errors.agents import SecretRequired
from lib.errors.base import (
    BodyTooLarge,
    ConversationNotFound,
    Forbidden,
    ImageTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ParleyError,
    RateLimited,
    Unauthenticated,
    UnsupportedImage,
)
from lib.errors.dependencies import (
    AddressRefused,
    Busy,
    ContextTooLong,
    DatabaseBusy,
    DatabaseUnavailable,
    Interrupted,
    MailUnavailable,
    NoProvider,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    ReportTooLong,
    RetrievalUnavailable,
    StorageUnavailable,
    Unsealable,
    WebhookEmpty,
    WebhookFailed,
    WebhookRefused,
)
from lib.errors.identity import (
    EmailOnlyLoginDisabled,
    EmailTaken,
    InvalidChallenge,
    InvalidCode,
    InvalidCredentials,
    LastAdmin,
    OriginRefused,
    PasswordTooCommon,
    RefreshInvalid,
    ResetInvalid,
    ScopeMissing,
    SecondFactorEnabled,
    SecondFactorMissing,
    SetupDone,
    TeamNotFound,
    TeamRequired,
    TooManyKeys,
)
from lib.errors.turns import (
    AgentNotFound,
    AgentUnavailable,
    ConversationBusy,
    ExportTooLarge,
    KeyReused,
    MessageNotFound,
)

__all__ = [
    "AddressRefused",
    "AgentNotFound",
    "AgentUnavailable",
    "BodyTooLarge",
    "Busy",
    "ContextTooLong",
    "ConversationBusy",
    "ConversationNotFound",
    "DatabaseBusy",
    "DatabaseUnavailable",
    "EmailOnlyLoginDisabled",
    "EmailTaken",
    "ExportTooLarge",
    "Forbidden",
    "ImageTooLarge",
    "Interrupted",
    "InvalidChallenge",
    "InvalidCode",
    "InvalidCredentials",
    "InvalidRequest",
    "KeyReused",
    "LastAdmin",
    "MailUnavailable",
    "MessageNotFound",
    "MethodNotAllowed",
    "NoProvider",
    "NotFound",
    "OriginRefused",
    "ParleyError",
    "PasswordTooCommon",
    "ProviderError",
    "ProviderRateLimited",
    "ProviderRefused",
    "ProviderTimeout",
    "ProviderUnavailable",
    "RateLimited",
    "RefreshInvalid",
    "ReportTooLong",
    "ResetInvalid",
    "RetrievalUnavailable",
    "ScopeMissing",
    "SecondFactorEnabled",
    "SecondFactorMissing",
    "SecretRequired",
    "SetupDone",
    "StorageUnavailable",
    "TeamNotFound",
    "TeamRequired",
    "TooManyKeys",
    "Unauthenticated",
    "Unsealable",
    "UnsupportedImage",
    "WebhookEmpty",
    "WebhookFailed",
    "WebhookRefused",
    "error_named",
]


def error_named(code: str) -> type[ParleyError]:
    """Return the error of this code; the root when no error has it."""
    waiting = [ParleyError]
    while waiting:
        error = waiting.pop()
        if error.code == code:
            return error
        waiting.extend(error.__subclasses__())
    return ParleyError
