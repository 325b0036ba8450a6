"""What a model's answer cost, by a table of prices that is data: `prices.json` beside this, and the operator's own."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from lib.providers.base import MOST_TOKENS
from lib.settings import NO_PRICES, Price

_TABLE: Final = Path(__file__).with_name("prices.json")
_MILLION: Final = Decimal(1_000_000)
_SMALLEST: Final = Decimal("0.00000001")
"""What the column holds: a token of the cheapest model costs five of these."""
_LARGEST: Final = 1_000_000
"""What it does not hold: no call costs that. An endpoint of a team's own may say anything of its tokens."""

# What a vendor adds to a family's name for one of its versions: -2025-04-14, -0613, -001, -latest, -preview-09-2025.
_VERSION: Final = re.compile(r"(?:-(?:\d{2,8}|latest|preview|exp))+")


class _Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    input: Decimal
    output: Decimal
    until: date | None = None
    then: Price | None = None


class _Table(msgspec.Struct, frozen=True):
    models: dict[str, _Listed]


def cost_of(
    model: str | None,
    input_tokens: int | None,
    output_tokens: int | None,
    own: Mapping[str, Price] = NO_PRICES,
    *,
    on: date | None = None,
) -> Decimal | None:
    """Return what a call cost in USD, to 8 places; None where no price is known, or no count of tokens that can be one.

    A name that no price has is looked up without its version: `gpt-4.1-mini-2025-04-14` is a `gpt-4.1-mini`, the
    longest name that fits. Anything else behind a name makes it another model: a `gpt-5-pro` is no `gpt-5`.

    Args:
        model: as the vendor names it.
        input_tokens: tokens that it read.
        output_tokens: tokens that it wrote, those of its reasoning among them.
        own: the operator's prices (`settings.model_prices`), which win over the table's.
        on: the day of the call in UTC, today by default: vendors say beforehand until when a price holds.
    """
    if not model or input_tokens is None or output_tokens is None:
        return None
    if not (0 <= input_tokens <= MOST_TOKENS and 0 <= output_tokens <= MOST_TOKENS):
        return None
    price = _find(model, own) or _listed(model, on or datetime.now(UTC).date())
    if price is None:
        return None
    cost = (price.input * input_tokens + price.output * output_tokens) / _MILLION
    return cost.quantize(_SMALLEST) if cost < _LARGEST else None


def _listed(model: str, on: date) -> Price | None:
    found = _find(model, _table())
    if found is None:
        return None
    if found.until is not None and on > found.until:
        return found.then
    return Price(found.input, found.output)


def _find[T](model: str, prices: Mapping[str, T]) -> T | None:
    if model in prices:
        return prices[model]
    end = model.rfind("-")
    while end > 0:
        if not _VERSION.fullmatch(model, end):
            return None
        if model[:end] in prices:
            return prices[model[:end]]
        end = model.rfind("-", 0, end)
    return None


@cache
def _table() -> Mapping[str, _Listed]:
    return msgspec.json.decode(_TABLE.read_bytes(), type=_Table).models
