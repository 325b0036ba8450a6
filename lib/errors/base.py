"""The root of the tree, and what is wrong with a request of any kind."""

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


class Forbidden(ParleyError):
    """Signed in, and not allowed."""

    code = "forbidden"
    detail = "You may not do this."


class NotFound(ParleyError):
    """It does not exist, or is a stranger's: the two look the same."""

    code = "not_found"
    detail = "There is nothing here."


class ConversationNotFound(NotFound):
    """No such conversation of this caller."""

    code = "conversation_not_found"
    detail = "There is no such conversation."


class RateLimited(ParleyError):
    """Tried more often than is allowed. `limit` says how often that is, and `retry_after` when attempts are new."""

    code = "rate_limited"
    detail = "Too many attempts. Try again later."

    def __init__(self, detail: str | None = None, *, limit: int, retry_after: int) -> None:
        """Keep what the client is told: attempts a minute, and seconds."""
        super().__init__(detail, retry_after=retry_after)
        self.limit = limit
