"""Text that people send. These follow a length in a field's annotation, so that characters are counted first."""

from typing import Final

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


def plain(text: str) -> str:
    """Return a text that Postgres can hold.

    Raises:
        ValueError: it contains a NUL, or half of a surrogate pair.
    """
    if "\0" in text:
        raise ValueError("it contains a NUL character")
    return _encodable(text)


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return plain(text)


SECRET: Final = AfterValidator(_encodable)
"""Any Unicode text: it is hashed, never stored."""

PLAIN: Final = AfterValidator(plain)
"""Text that Postgres can hold."""

SAID: Final = AfterValidator(_said)
"""Text that says something."""
