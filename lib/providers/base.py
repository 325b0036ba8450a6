"""What the turn asks of a model's provider."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec


class PromptMessage(msgspec.Struct, frozen=True):
    """One message of the prompt. `at` is when it was said, where that is known; models are not told."""

    role: Literal["system", "user", "assistant"]
    content: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a model is to answer; None leaves it to the model. The names are those of OpenAI's chat completions."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None


DEFAULTS: Final = Options()


class Text(msgspec.Struct, frozen=True):
    """A piece of the answer. There are thousands of them, and a Struct is made in a fifth of a dataclass's time."""

    text: str


class Reasoning(msgspec.Struct, frozen=True):
    """A piece of what the model thinks aloud."""

    text: str


MOST_TOKENS: Final = 2**31 - 1
"""Tokens of a call that a table can hold. Who tells more is not believed."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of the whole call, as the provider counts them."""

    input_tokens: int
    output_tokens: int


Chunk = Text | Reasoning | TokenUsage


class Provider(Protocol):
    """A model behind some vendor's API."""

    @property
    def model(self) -> str:
        """The model's name as the vendor knows it."""
        ...

    def stream(self, messages: tuple[PromptMessage, ...], options: Options = DEFAULTS) -> AsyncGenerator[Chunk]:
        """Ask, and yield the answer as it arrives: texts, reasoning, and the usage last where the vendor tells it.

        Closing the generator closes the connection, which cancels the generation upstream. It sets no limit of its own
        on time but that of connecting: `lib.providers.fallback` watches the clock for every vendor alike.

        Raises:
            ProviderError: or one of its children, while iterating. Never a vendor's own exception. An answer that ends
                without the vendor's own sign of its end is an error, not an answer.
        """
        ...
