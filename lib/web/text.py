"""Text that people send."""

from typing import Annotated, Final

from pydantic import AfterValidator

LONGEST_MESSAGE: Final = 32_000
"""Characters of one message."""


def _says_something(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    if "\0" in text:
        raise ValueError("it contains a NUL character")
    return text


Said = Annotated[str, AfterValidator(_says_something)]
"""Not blank, and storable: Postgres takes no NUL."""
