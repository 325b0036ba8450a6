"""The ways to read a webhook's reply: as text, as an event stream, as JSON."""

import codecs
import re
from typing import Final, Protocol

from lib.errors import WebhookFailed
from lib.providers.sse import LINE_LIMIT, Lines
from lib.providers.webhook_json import UNREADABLE, decoded, objects_in, string_in
from lib.providers.webhook_said import Said, Shape

_NO_JSON: Final = "The agent's webhook answered with JSON that is not valid."
_LARGE_JSON: Final = "The agent's webhook answered with JSON of more than 1 MB."
_LIKE_JSON: Final = re.compile(r'\s*(\{\s*"|\[\s*\{)')


class Form(Protocol):
    """A way to read a reply, once it has shown what it is. What it reads it tells `Said`."""

    def feed(self, data: bytes) -> None:
        """Read the next bytes."""
        ...

    def close(self) -> None:
        """Say that no more bytes come."""
        ...


class Text:
    """Bare text."""

    def __init__(self, said: Said) -> None:
        said.shape = "text"
        self._said = said
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> None:
        """Decode the next bytes; what is no UTF-8 is replaced."""
        self._said.text(self._decoder.decode(data))

    def close(self) -> None:
        """Decode what was cut off."""
        self._said.text(self._decoder.decode(b"", final=True))


class Events:
    """An event stream, whose data are JSON or text."""

    def __init__(self, said: Said) -> None:
        said.shape = "sse"
        self._said = said
        self._lines = Lines(WebhookFailed)
        self._event = ""
        self._held: list[str] = []
        self._room = LINE_LIMIT
        self._is_inside = False
        self._quotes: bool | None = None

    def feed(self, data: bytes) -> None:
        """Read the lines that the next bytes complete."""
        for line in self._lines.feed(data):
            self._line(line)

    def close(self) -> None:
        """Read the last line, ended or not, and end its event."""
        self._line(self._lines.close())
        self._dispatch()

    def _line(self, line: bytes) -> None:
        if not line or self._said.ended:
            self._dispatch()
            return
        field, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode(errors="replace")
        if field == b"data":
            self._data(text)
        elif field == b"event":
            self._event = text.strip()

    def _data(self, text: str) -> None:
        """Take a line of data. Each line that is JSON counts by itself: many workflows leave out the blank line."""
        if text.strip() == "[DONE]":
            self._said.ended = True
        elif self._event == "error":
            self._said.json({"type": "error"})
        elif not self._held and (value := objects_in(text)) is not None:
            self._said.json(value)
        elif self._held or text.lstrip().startswith("{"):
            self._hold(text)
        else:
            self._plain(text)

    def _hold(self, text: str) -> None:
        """Keep what may be JSON over several lines, until its event is over."""
        self._held.append(text)
        self._room -= len(text)
        if self._room < 0:
            raise WebhookFailed(_LARGE_JSON)

    def _dispatch(self) -> None:
        self._event, self._is_inside = "", False
        if self._held:
            held, self._held, self._room = "\n".join(self._held), [], LINE_LIMIT
            value = objects_in(held)
            if value is None:
                self._said.text(held)
            else:
                self._said.json(value)

    def _plain(self, text: str) -> None:
        """Take text as it is, or out of its quotes in a stream whose first text is a JSON string."""
        value = string_in(text) if self._quotes is not False else None
        if self._quotes is None:
            self._quotes = value is not None
        text = text if value is None else value
        gap = "\n" if self._is_inside and not self._quotes else ""
        self._is_inside = True
        self._said.text(gap + text)


class Values:
    """JSON: one value a line, or one value as a whole."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._lines = Lines(WebhookFailed)
        self._whole: bytearray | None = None

    def feed(self, data: bytes) -> None:
        """Read the lines that the next bytes complete: each is a value, unless the first is only the part of one."""
        for line in self._lines.feed(data):
            self._line(line, b"\n")

    def close(self) -> None:
        """Read the last line, and the value that took several; what only began like JSON is text."""
        self._line(self._lines.close())
        if self._whole is not None:
            text = self._whole.decode(errors="replace")
            try:
                value = decoded(text)
            except UNREADABLE:
                if _LIKE_JSON.match(text):
                    self._said.shape = "error"
                    raise WebhookFailed(_NO_JSON) from None
                self._said.shape = "text"
                self._said.text(text)
            else:
                self._value(value)

    def _line(self, line: bytes, end: bytes = b"") -> None:
        if self._whole is not None:
            self._whole += line + end
            if len(self._whole) > LINE_LIMIT:
                raise WebhookFailed(_LARGE_JSON)
            return
        bare = line.strip()
        if self._said.ended or not bare:
            return
        if bare == b"[DONE]" and self._said.shape != "empty":
            self._said.ended = True
            return
        try:
            value = decoded(line.decode(errors="replace"))
        except UNREADABLE:
            if self._said.shape != "empty":
                raise WebhookFailed(_NO_JSON) from None
            self._whole = bytearray(line + end)
            return
        self._value(value)

    def _value(self, value: object) -> None:
        self._said.shape = self._shape(value)
        self._said.json(value)

    def _shape(self, value: object) -> Shape:
        if self._said.shape != "empty":
            return "ndjson"
        match value:
            case {"type": "begin" | "item" | "end"}:
                return "ndjson"
            case dict():
                return "object"
            case list():
                return "array"
            case _:
                return "text"
