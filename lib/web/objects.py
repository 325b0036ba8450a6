"""JSON objects that people may fill as they like, and that are stored as they are."""

import json
import math
from typing import Any, Final, cast

from lib.web.text import plain

LONGEST: Final = 16_000
"""Bytes of one, as JSON."""
DEEPEST: Final = 8
"""Objects and lists within each other."""


def storable(value: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an object that Postgres can hold.

    Args:
        value: as JSON was read.
        name: what people call it.

    Raises:
        ValueError: it is too long, too deep, or has what Postgres does not keep: NUL, half surrogates, NaN, infinity.
    """
    _walk(value, DEEPEST, name)
    if len(json.dumps(value, ensure_ascii=False).encode()) > LONGEST:
        raise ValueError(f"{name} is at most {LONGEST} bytes long")
    return value


def _walk(value: object, deeper: int, name: str) -> None:
    if isinstance(value, str):
        plain(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} holds a number that JSON has not")
    elif isinstance(value, dict | list):
        if deeper == 0:
            raise ValueError(f"{name} is at most {DEEPEST} levels deep")
        inner = cast("dict[str, object] | list[object]", value)
        for each in [*inner, *inner.values()] if isinstance(inner, dict) else inner:
            _walk(each, deeper - 1, name)
