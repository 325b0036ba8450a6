"""What a webhook's JSON says: its text, the tokens it counts, and the errors that come dressed as an answer."""

import json
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from lib.providers.base import MOST_TOKENS, TokenUsage

TEXT_KEYS: Final = ("content", "output", "text", "delta", "response", "message", "choices")
"""Where the text may be, the surest first: beside any of the others, `message` is a word about the answer."""

DEEPEST: Final = 8
"""Levels of JSON inside JSON that are searched for a text. A completion's has four."""

UNREADABLE: Final = (ValueError, RecursionError)
"""What `decoded` raises."""

_any: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
"""Gives what Python's own gives, in a fifth of the time, or fails."""
_NOT_QUITE_JSON: Final = (msgspec.DecodeError, UnicodeError, RecursionError)

_TOLD: Final = {
    "Workflow was started": "The workflow answers before it is done. Let its Webhook node respond when the last node"
    " finishes, or with a Respond to Webhook node.",
    "Error in workflow": "The workflow failed. Its own log says why.",
}
"""What n8n says in `message` in place of an answer."""
_FAILED: Final = "The webhook answered with an error."


def decoded(text: str) -> Any:
    """Return the value of a JSON text. Line breaks inside strings are let pass, which templates are prone to.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it goes too deep.
    """
    try:
        return _any.decode(text)
    except _NOT_QUITE_JSON:
        return json.loads(text, strict=False)


def objects_in(text: str) -> object:
    """Return the object, or the list of objects, that a text is the JSON of; None for any other text."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value: object = decoded(text)
    except UNREADABLE:
        return None
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    items = _items(value)
    return value if items and all(isinstance(item, dict) for item in items) else None


def fields_of(value: object) -> dict[str, object]:
    """Return the fields of an object; of any other value there are none."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def string_in(text: str) -> str | None:
    """Return the string that a text is the JSON of; None for any other text."""
    if not text.lstrip().startswith('"'):
        return None
    try:
        value = decoded(text)
    except UNREADABLE:
        return None
    return value if isinstance(value, str) else None


def text_of(value: object, depth: int = 0) -> str | None:
    """Return the text that a value holds, empty when it says that it has none; None when there is no place for one.

    Items of a list at the top are texts of their own, with a blank line between; elsewhere they are parts of one.
    """
    if isinstance(value, str):
        return value if depth <= DEEPEST else None
    if depth > DEEPEST:
        return None
    if isinstance(value, dict):
        return _text_in(cast("dict[str, object]", value), depth) if value else ""
    if isinstance(value, list):
        return _text_of_items(cast("list[object]", value), depth) if value else ""
    if value is None:
        return ""
    return json.dumps(value) if depth else None


def _text_of_items(value: list[object], depth: int) -> str | None:
    items = [text_of(item, depth + 1) for item in value if not _is_number(item)]
    texts = [text for text in items if text is not None]
    return ("" if depth else "\n\n").join(filter(None, texts)) if texts else None


def _text_in(value: dict[str, object], depth: int) -> str | None:
    """Return the first text that is at one of its places, empty when there are places and no text."""
    found: str | None = None
    for key in TEXT_KEYS:
        if key in value:
            text = text_of(_first(value[key]) if key == "choices" else value[key], depth + 1)
            if text:
                return text
            found = text if found is None else found
    return found


def fault_of(value: object) -> str | None:
    """Return what is to be said of a value that is an error, or None. What the webhook itself says of it stays out."""
    for told in _objects(value):
        if told.get("type") == "error" or told.get("error"):
            return _FAILED
        message = told.get("message")
        if isinstance(message, str) and message in _TOLD:
            return _TOLD[message]
    return None


def usage_of(value: object) -> TokenUsage | None:
    """Return the tokens that a value tells, by the names of either of OpenAI's APIs; none that no table could hold."""
    for told in _objects(value):
        usage = told.get("usage")
        for counts in _objects(usage) if usage else ():
            for read, written in (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")):
                if _is_count(tokens := counts.get(read)) and _is_count(more := counts.get(written)):
                    return TokenUsage(cast("int", tokens), cast("int", more))
    return None


def _objects(value: object) -> Sequence[dict[str, object]]:
    """Return the value if it is an object, the objects in it if it is a list."""
    if isinstance(value, dict):
        return (cast("dict[str, object]", value),)
    items: Sequence[object] = cast("list[object]", value) if isinstance(value, list) else ()
    return [cast("dict[str, object]", item) for item in items if isinstance(item, dict)]


def _items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _first(value: object) -> object:
    return next(iter(_items(value)), value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)  # a boolean too


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
