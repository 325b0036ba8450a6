"""What an agent's `config` says to us. Whatever else is in it is for its workflow to read."""

from typing import Annotated, Any, Final, Literal

import msgspec

from lib.providers.base import Options

_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Known(msgspec.Struct, frozen=True):
    """The keys that we read; null is as good as left out. The bounds are those of OpenAI's chat completions.

    Attributes:
        model: the model, where the agent's own field names none.
        trigger: `chat` where a webhook is an n8n Chat Trigger.
        retrieval: whether documents are searched; None for a model's yes and a webhook's no.
        temperature: 0 to 2.
        top_p: 0 to 1.
        max_tokens: of an answer.
        presence_penalty: -2 to 2.
        frequency_penalty: -2 to 2.
        seed: for answers that repeat.
        stop: words that end an answer, at most four.
    """

    model: _Word | None = None
    trigger: Literal["chat"] | None = None
    retrieval: bool | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: _Word | Annotated[tuple[_Word, ...], msgspec.Meta(max_length=4)] | None = None

    @property
    def options(self) -> Options:
        """How a model is to answer."""
        given: dict[str, Any] = {name: getattr(self, name) for name in _OPTIONS}
        given["stop"] = (self.stop,) if isinstance(self.stop, str) else self.stop or None
        return Options(**given)


_OPTIONS: Final = tuple(Options.__dataclass_fields__)


def read_config(config: dict[str, Any]) -> Known:
    """Return what a config says to us.

    Raises:
        ValueError: a key that we read holds something else than it may; the message says which.
    """
    try:
        return msgspec.convert(config, Known)
    except msgspec.ValidationError as error:
        raise ValueError(f"config: {error}") from None
