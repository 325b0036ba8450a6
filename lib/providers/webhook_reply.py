"""The reply of a webhook: from its bytes to a text, without any network.

What a reply is shows in its first lines alone: workflows label bare text as HTML, streams as JSON, errors as success.
`docs/decisions/webhook-replies.md` has the shapes, and what each is understood as.
"""

import re
from collections.abc import Iterator
from typing import Final

from lib.errors import WebhookFailed
from lib.providers.webhook_forms import Events, Form, Text, Values
from lib.providers.webhook_said import Said

REPLY_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of a whole reply."""
HEAD_LIMIT: Final = 16 * 1024
"""Bytes in which a reply must show what it is. What is undecided then is text."""

_TOO_LARGE: Final = "The agent's webhook sent more than 8 MB."
_A_PAGE: Final = "The agent's webhook answered with a web page. Is this its address, and is its workflow active?"

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = re.compile(rb"(?:\s++|\xef\xbb\xbf)++")  # possessive: nothing is remembered to try again
_PAGE: Final = re.compile(rb"<(!doctype|!--|\?xml|(html|head|body|title|meta|script|style)\b)", re.IGNORECASE)
_PAGE_BYTES: Final = 16
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")


class WebhookReply:
    """Reads one reply. However its bytes are cut, the text is the same.

    Attributes:
        said: what was understood so far: the shape, the tokens, and whether the reply said that it is over.
    """

    def __init__(self) -> None:
        self.said = Said()
        self._head = b""
        self._left = REPLY_LIMIT
        self._form: Form | None = None

    def feed(self, data: bytes) -> Iterator[str]:
        """Read the next bytes, and yield the text that they complete; then raise what is wrong.

        Raises:
            WebhookFailed: the reply is an error or a page, is not understood, or is too large.
        """
        left = self._left
        self._left -= len(data)
        try:
            self._read(data[:left] if self._left < 0 else data)
            if self._left < 0:
                raise WebhookFailed(_TOO_LARGE)
        finally:
            if text := self.said.taken():
                yield text

    def close(self) -> Iterator[str]:
        """Say that no more bytes come, and yield the rest of the text.

        Raises:
            WebhookEmpty: there was no text.
            WebhookFailed: a text was begun and not ended, or as `feed` raises it.
        """
        try:
            if self._form is None:
                self._read(b"", final=True)
            if self._form is not None:
                self._form.close()
            self.said.refuse_nothing()
        finally:
            if text := self.said.taken():
                yield text

    def _read(self, data: bytes, *, final: bool = False) -> None:
        if self._form is None:
            self._head = _without_blanks(self._head + data)
            self._form = _form(self._head, self.said, final=final)
            data, self._head = (self._head, b"") if self._form else (b"", self._head)
        if self._form and data and not self.said.ended:
            self._form.feed(data)


def is_page(head: bytes) -> bool:
    """Say whether a body that begins like this is a web page, or XML, rather than a text."""
    return _PAGE.match(_without_blanks(head)) is not None


def _form(head: bytes, said: Said, *, final: bool) -> Form | None:
    """Return how to read a reply that begins like this, or None while it has not shown what it is."""
    head = head[:HEAD_LIMIT]
    if not head or (_BOM.startswith(head) and not final):
        return None
    if head[:1] in {b"{", b"[", b'"'}:
        return Values(said)
    if head[:1] == b"<":
        if len(head) < _PAGE_BYTES and not final:
            return None
        if _PAGE.match(head):
            said.shape = "html"
            raise WebhookFailed(_A_PAGE)
        return Text(said)
    return _form_of_lines(head, said, final=final)


def _without_blanks(head: bytes) -> bytes:
    blank = _BLANK.match(head)
    return head[blank.end() :] if blank else head


def _form_of_lines(head: bytes, said: Said, *, final: bool) -> Form | None:
    """Return what a reply is that may be an event stream: its first data may follow comments and other fields."""
    *lines, last = head.split(b"\n")
    for line in lines:
        if line.startswith(b"data:"):
            return Events(said)
        if line.strip() and not line.startswith(_FIELDS):
            return Text(said)
    if last.startswith(b"data:"):
        return Events(said)
    is_blank = not last.strip()  # such as the CR of an end whose LF has not arrived
    may_be_field = is_blank or last.startswith(_FIELDS) or any(field.startswith(last) for field in _FIELDS)
    if not may_be_field or len(head) == HEAD_LIMIT:
        return Text(said)
    if not final:
        return None
    comments = all(line.startswith(b": ") or line.strip() in {b"", b":"} for line in (*lines, last))
    return Events(said) if comments else Text(said)
