"""What an OpenAI-compatible endpoint is asked, in the words that it takes."""

import logging
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from lib.providers.base import Options, PromptMessage
from lib.providers.models import is_openais_own

_LIMITS: Final = ("max_tokens", "max_completion_tokens")
"""The two names of the same limit: OpenAI's reasoning models know the second alone, most other endpoints the first."""
_STREAM_OPTIONS: Final = re.compile(rb"stream_options|include_usage")
_UNSUPPORTED: Final = re.compile(rb"unsupported|not supported?|unrecognized|unknown|not permitted", re.IGNORECASE)

_log = logging.getLogger("parley.providers")


@dataclass(slots=True)
class Dialect:
    """What an endpoint takes, as far as its refusals have told.

    Attributes:
        limit: the name under which it takes the limit of tokens.
        refused: the fields that it takes under no name.
    """

    limit: str = _LIMITS[0]
    refused: set[str] = field(default_factory=set[str])

    @classmethod
    def of(cls, base_url: str) -> Self:
        """Return what an endpoint presumably takes."""
        return cls(_LIMITS[1] if is_openais_own(base_url) else _LIMITS[0])

    def question(self, model: str, messages: tuple[PromptMessage, ...], options: Options) -> dict[str, Any]:
        """Return the body that asks for a streamed completion."""
        wishes = {name: value for name, value in asdict(options).items() if value is not None}
        if "max_tokens" in wishes:
            wishes[self.limit] = wishes.pop("max_tokens")
        question: dict[str, Any] = {
            "model": model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            **wishes,
        }
        return {name: value for name, value in question.items() if name not in self.refused}

    def learns(self, question: dict[str, Any], refusal: bytes) -> bool:
        """Take in why a question was refused, and say whether it can be asked in other words.

        A wish that the model does not take at all is left out from then on, which the log says; one whose value is
        wrong is the asker's to mend. Each name is given up once, so that this comes to an end.
        """
        if "stream_options" in question and _STREAM_OPTIONS.search(refusal):
            self.refused.add("stream_options")
            return True
        wishes = (name for name in question if name not in {"model", "messages", "stream"})
        for name in wishes if _UNSUPPORTED.search(refusal) else ():
            if re.search(rb"\b%b\b" % name.encode(), refusal):
                self._give_up(name)
                return True
        return False

    def _give_up(self, name: str) -> None:
        self.refused.add(name)
        other = next((limit for limit in _LIMITS if name in _LIMITS and limit not in self.refused), None)
        if other is not None:
            self.limit = other
        else:
            _log.warning("a model is asked without %s, which it does not take", name)
