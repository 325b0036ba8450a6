"""Text that people send."""

from typing import Annotated, Final

from pydantic import AfterValidator

LONGEST_MESSAGE: Final = 32_000
"""Characters of one message."""


def _encodable(text: str) -> str:
    """Refuse halves of surrogate pairs: JSON can spell them, UTF-8 and Postgres cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not Unicode text") from None
    return text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("it contains a NUL character")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text


Secret = Annotated[str, AfterValidator(_encodable)]
"""Any Unicode text: it is hashed, never stored."""

Plain = Annotated[Secret, AfterValidator(_without_nul)]
"""Text that Postgres can hold."""

Said = Annotated[Plain, AfterValidator(_not_blank)]
"""Text that says something."""
