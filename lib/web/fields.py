"""Fields of an account, as bodies hold them."""

import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from lib.auth.accounts import normalise_email
from lib.auth.passwords import is_common
from lib.web.text import PLAIN, SAID, SECRET

SHORTEST_PASSWORD: Final = 8
LONGEST_PASSWORD: Final = 128


def _long_enough(password: str) -> str:
    """Count what the hash counts: characters after NFKC."""
    if not SHORTEST_PASSWORD <= len(unicodedata.normalize("NFKC", password)) <= LONGEST_PASSWORD:
        raise ValueError(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    return password


def _uncommon(password: str) -> str:
    if is_common(password):
        raise PydanticCustomError("password_too_common", "this password is one of the most common")
    return password


Email = Annotated[str, Field(max_length=254), PLAIN, AfterValidator(normalise_email)]
"""An address, in the one spelling under which its account is kept."""

NewPassword = Annotated[str, Field(max_length=1024), SECRET, AfterValidator(_long_enough), AfterValidator(_uncommon)]
"""A password to keep, which nobody guesses first."""

TypedPassword = Annotated[str, Field(max_length=1024), SECRET]
"""A password to compare: any text, since it only has to fit."""

NamedTeam = Annotated[
    Annotated[str, Field(max_length=63), PLAIN, AfterValidator(str.lower)] | None,
    BeforeValidator(lambda named: None if named == "" else named),  # a form's empty field is one that is not there
]
"""A team by its slug or its id, where an address has accounts in several."""

FullName = Annotated[str, Field(max_length=200), SAID]
"""What somebody is called."""


class Done(BaseModel):
    """What was done, in a sentence."""

    message: str
