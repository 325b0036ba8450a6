"""What a webhook's reply has said so far, whatever form it has."""

from hashlib import blake2b
from typing import Final, Literal

from lib.errors import WebhookEmpty, WebhookFailed
from lib.providers.base import TokenUsage
from lib.providers.webhook_json import fault_of, objects_in, text_of, usage_of

Shape = Literal["empty", "sse", "ndjson", "object", "array", "text", "html", "error"]
"""What a reply was understood as: nothing yet, an event stream, JSON line by line, JSON as a whole, bare text, a web
page, or an error."""

CUT_SHORT: Final = "The agent's webhook stopped in the middle of its reply."
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
        self._any = self._is_open = self._begins_anew = self._found_no_text = False
        self._whole, self._part, self._last_part = blake2b(), blake2b(), b""

    def text(self, text: str) -> str:
        """Take the next piece of the text, and return what it adds."""
        if not text:
            return ""
        self._any = self._any or not text.isspace()
        for digest in (self._whole, self._part):
            digest.update(text.encode(errors="surrogatepass"))
        gap = "\n\n" if self._begins_anew else ""
        self._begins_anew = False
        return gap + text

    def json(self, value: object) -> str:
        """Take a value, and return the text that it adds.

        Raises:
            WebhookFailed: it is an error.
        """
        if fault := fault_of(value):
            self.shape = "error"
            raise WebhookFailed(fault)
        self.usage = usage_of(value) or self.usage
        match value:
            case {"type": "begin"}:
                self._begin()
                return ""
            case {"type": "end"}:
                self._is_open = False
                return ""
            case {"type": str(kind)} if kind.startswith("tool-call"):
                return ""
            case {"type": "item", "content": str(content)}:
                return self._item(content)
            case _:
                return self._found(text_of(value))

    def refuse_nothing(self) -> None:
        """Raise what is wrong with the reply now that it is over, if something is."""
        if self._is_open and not self.ended:
            raise WebhookFailed(CUT_SHORT)
        if not self._any:
            raise WebhookFailed(_NO_TEXT) if self._found_no_text else WebhookEmpty

    def _begin(self) -> None:
        """A node of the workflow begins to write: what it says is apart from what another said before."""
        self._is_open = True
        self._begins_anew = self._any
        self._last_part, self._part = self._part.digest(), blake2b()

    def _item(self, content: str) -> str:
        """Take what a node wrote. An object comes as its JSON; one that repeats what was streamed adds nothing."""
        value = objects_in(content)
        if value is None:
            return self.text(content)
        if fault_of(value):
            return self.json(value)
        text = text_of(value)
        if not text:
            return self.text(content)
        digest = blake2b(text.encode(errors="surrogatepass")).digest()
        return "" if digest in {self._whole.digest(), self._last_part} else self.text(text)

    def _found(self, text: str | None) -> str:
        self._found_no_text = self._found_no_text or text is None
        return self.text(text or "")
