"""What people may change of an account, as bodies hold it. A field that is left out stays as it is."""

import json
import math
from typing import Annotated, Any, Final, TypedDict, cast

from pydantic import AfterValidator, ConfigDict, Field, with_config

from lib.auth.identity import Role
from lib.files.images import read_data_uri
from lib.web.fields import Email, FullName
from lib.web.text import plain

LONGEST_PREFERENCES: Final = 16_000
"""Bytes of preferences, as JSON."""
DEEPEST_PREFERENCES: Final = 8
"""Objects and lists within each other."""


def _as_data_uri(uri: str) -> str:
    """Return the picture of a data URI as one that says what kind it is.

    Raises:
        ImageTooLarge, UnsupportedImage: it is none that is kept.
    """
    return read_data_uri(uri).data_uri


def _storable(preferences: dict[str, Any]) -> dict[str, Any]:
    """Refuse what is too long, too deep, or no JSON that Postgres keeps: NUL, half surrogates, NaN and infinity."""
    _walk(preferences, DEEPEST_PREFERENCES)
    if len(json.dumps(preferences, ensure_ascii=False).encode()) > LONGEST_PREFERENCES:
        raise ValueError(f"preferences have at most {LONGEST_PREFERENCES} bytes")
    return preferences


def _walk(value: object, deeper: int) -> None:
    if isinstance(value, str):
        plain(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("preferences hold a number that JSON has not")
    elif isinstance(value, dict | list):
        if deeper == 0:
            raise ValueError(f"preferences are at most {DEEPEST_PREFERENCES} levels deep")
        inner = cast("dict[str, object] | list[object]", value)
        for each in [*inner, *inner.values()] if isinstance(inner, dict) else inner:
            _walk(each, deeper - 1)


Avatar = Annotated[str, AfterValidator(_as_data_uri)]
"""A picture as a data URI: PNG, JPEG, GIF or WebP, of at most 2 MB."""
Preferences = Annotated[dict[str, Any], AfterValidator(_storable)]
"""What a front end wants to remember of a user. It takes the place of what was there."""


@with_config(ConfigDict(extra="forbid"))
class OwnChanges(TypedDict, total=False):
    """What everybody may change of their own account."""

    full_name: FullName | None
    avatar: Avatar | None
    preferences: Preferences


@with_config(ConfigDict(extra="forbid"))
class AllChanges(OwnChanges, total=False):
    """What an administrator may change of any account of the team."""

    email: Email
    role: Role
    is_active: Annotated[bool, Field(strict=True)]
