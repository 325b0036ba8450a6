"""What models cost, as an operator says it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

_SHAPE: Final = 'takes JSON such as {"llama-3.3-70b": {"input": 0.60, "output": 0.90}}, in USD for a million tokens'
_MOST: Final = Decimal(100_000)


@dataclass(frozen=True, slots=True)
class Price:
    """USD for a million tokens: read (`input`), and written (`output`)."""

    input: Decimal
    output: Decimal


def _priced(value: object) -> object:
    """Read prices by the model's name.

    Raises:
        ValueError: what they have to look like, or which of them is none.
    """
    if not isinstance(value, str):
        return value
    try:
        given = json.loads(value, parse_float=Decimal, parse_int=Decimal, parse_constant=str)
    except (ValueError, InvalidOperation):
        raise ValueError(_SHAPE) from None
    return {name: _price(name, price) for name, price in _fields(given).items()}


def _fields(given: object) -> dict[str, Any]:
    if isinstance(given, dict):
        return cast("dict[str, Any]", given)
    raise ValueError(_SHAPE)


def _price(name: str, given: object) -> Price:
    fields = _fields(given)
    if not name.strip():
        raise ValueError(_SHAPE)
    if set(fields) != {"input", "output"}:
        raise ValueError(f"has to say input and output for {name!r}, and nothing else: it {_SHAPE}")
    if not all(isinstance(amount, Decimal) and 0 <= amount <= _MOST for amount in fields.values()):
        raise ValueError(f"has a price for {name!r} that is no number from 0 to {_MOST:,}: it {_SHAPE}")
    return Price(**fields)


def _fixed(prices: Mapping[str, Price]) -> Mapping[str, Price]:
    return MappingProxyType(prices)


Prices = Annotated[Mapping[str, Price], NoDecode, BeforeValidator(_priced), AfterValidator(_fixed)]
"""Prices by the model's name."""

NO_PRICES: Final[Mapping[str, Price]] = MappingProxyType({})
"""Those of an operator who has none of their own."""
