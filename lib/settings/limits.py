"""How often a minute anybody may try what."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, NonNegativeInt
from pydantic_settings import NoDecode

Limited = Literal["login", "register", "refresh", "reset", "second_factor", "chat"]

DEFAULT_RATE_LIMITS: Final[Mapping[Limited, int]] = MappingProxyType(
    {"login": 5, "register": 20, "refresh": 60, "reset": 5, "second_factor": 5, "chat": 60}
)


def _named(value: object) -> object:
    """Read `login=5,chat=60`.

    Raises:
        ValueError: naming the part that is none.
    """
    if not isinstance(value, str):
        return value
    pairs = [part.strip() for part in value.split(",") if part.strip()]
    limits: dict[str, str] = {}
    for pair in pairs:
        name, equals, attempts = (side.strip() for side in pair.partition("="))
        if name not in get_args(Limited):
            raise ValueError(f"limits nothing that is called {name!r}: it takes {', '.join(get_args(Limited))}")
        if not equals or not attempts.isdecimal():
            raise ValueError(f"takes a number of attempts a minute: {name}=5")
        limits[name] = attempts
    return limits


def _complete(given: Mapping[Limited, int]) -> Mapping[Limited, int]:
    return MappingProxyType({**DEFAULT_RATE_LIMITS, **given})


RateLimits = Annotated[Mapping[Limited, NonNegativeInt], NoDecode, BeforeValidator(_named), AfterValidator(_complete)]
"""Attempts a minute by what is attempted, 0 for no limit; every name is there."""
