"""What a webhook's reply has said so far, whatever form it has."""

from hashlib import blake2b
from typing import Final, Literal

from lib.errors import WebhookEmpty, WebhookFailed
from lib.providers.base import TokenUsage
from lib.providers.webhook_json import fault_of, fields_of, objects_in, text_of, usage_of

Shape = Literal["empty", "sse", "ndjson", "object", "array", "text", "html", "error"]
"""What a reply was understood as: nothing yet, an event stream, JSON line by line, JSON as a whole, bare text, a web
page, or an error."""

CUT_SHORT: Final = "The agent's webhook stopped in the middle of its reply."
_AT_ONCE: Final = 512
"""Characters that are remembered together."""
_NO_TEXT: Final = (
    "The agent's webhook answered with JSON in which no text was found: none of content, output, text, response or"
    " message is in it."
)


class Said:
    """What a reply has said.

    Attributes:
        shape: what it was understood as.
        usage: the tokens of the call, where it tells them.
        ended: whether it said that it is over; what follows is not read.
    """

    def __init__(self) -> None:
        self.shape: Shape = "empty"
        self.usage: TokenUsage | None = None
        self.ended = False
        self._new: list[str] = []
        self._any = self._is_open = self._begins_anew = self._found_no_text = False
        self._noted: list[str] = []
        self._characters = 0
        self._whole, self._part, self._last_part = blake2b(), blake2b(), b""

    def taken(self) -> str:
        """Return the text that was added since this was called last."""
        text = "".join(self._new)
        self._new.clear()
        return text

    def text(self, text: str) -> None:
        """Take the next piece of the text."""
        if not text:
            return
        self._any = self._any or not text.isspace()
        self._noted.append(text)
        self._characters += len(text)
        if self._characters > _AT_ONCE:
            self._digest()
        if self._begins_anew:
            self._new.append("\n\n")
            self._begins_anew = False
        self._new.append(text)

    def json(self, value: object) -> None:
        """Take a value.

        Raises:
            WebhookFailed: it is an error.
        """
        if fault := fault_of(value):
            self.shape = "error"
            raise WebhookFailed(fault)
        self.usage = usage_of(value) or self.usage
        told = fields_of(value)
        match told.get("type"), told.get("content"):
            case "item", str(content):
                self._item(content)
            case "begin", _:
                self._begin()
            case "end", _:
                self._is_open = False
            case str(kind), _ if kind.startswith("tool-call"):
                pass
            case _:
                self._found(text_of(value))

    def refuse_nothing(self) -> None:
        """Raise what is wrong with the reply now that it is over, if something is."""
        if self._is_open and not self.ended:
            raise WebhookFailed(CUT_SHORT)
        if not self._any:
            raise WebhookFailed(_NO_TEXT) if self._found_no_text else WebhookEmpty

    def _begin(self) -> None:
        """A node of the workflow begins to write: what it says is apart from what another said before."""
        self._digest()
        self._is_open = True
        self._begins_anew = self._any
        self._last_part, self._part = self._part.digest(), blake2b()

    def _item(self, content: str) -> None:
        """Take what a node wrote. An object comes as its JSON; one that repeats what was streamed adds nothing."""
        value = objects_in(content)
        if value is None:
            self.text(content)
        elif fault_of(value):
            self.json(value)
        elif not (text := text_of(value)):
            self.text(content)
        elif not self._has_said(text):
            self.text(text)

    def _found(self, text: str | None) -> None:
        self._found_no_text = self._found_no_text or text is None
        self.text(text or "")

    def _has_said(self, text: str) -> bool:
        """Whether this is all of what was said, or the last part of it."""
        self._digest()
        return blake2b(_bytes(text)).digest() in {self._whole.digest(), self._last_part}

    def _digest(self) -> None:
        """Remember what was said by what is short: a reply may be long, and comes in many small pieces."""
        said = _bytes("".join(self._noted))
        self._noted.clear()
        self._characters = 0
        self._whole.update(said)
        self._part.update(said)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
