"""How the tests ask a provider."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from lib.errors import ProviderError
from lib.providers.base import DEFAULTS, Chunk, Options, PromptMessage, Provider, Reasoning, Text, TokenUsage

QUESTION = (PromptMessage("system", "Answer briefly."), PromptMessage("user", "What is in the harbour?"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, its chunks joined."""

    text: str
    reasoning: str
    usage: TokenUsage | None


async def ask(
    provider: Provider, messages: tuple[PromptMessage, ...] = QUESTION, options: Options = DEFAULTS
) -> Answer:
    """Return the whole answer to `messages`."""
    return joined([chunk async for chunk in provider.stream(messages, options)])


async def ask_in_vain(provider: Provider) -> tuple[Answer, ProviderError]:
    """Return what came of an answer that fails, and its failure."""
    chunks: list[Chunk] = []
    with pytest.raises(ProviderError) as raised:
        async for chunk in provider.stream(QUESTION):
            chunks.append(chunk)  # noqa: PERF401 -- a comprehension would lose them
    return joined(chunks), raised.value


def joined(chunks: Sequence[Chunk]) -> Answer:
    """Join the chunks of an answer; the usage must be the last of them."""
    usage = chunks[-1] if chunks and isinstance(chunks[-1], TokenUsage) else None
    return Answer(
        text="".join(chunk.text for chunk in chunks if isinstance(chunk, Text)),
        reasoning="".join(chunk.text for chunk in chunks if isinstance(chunk, Reasoning)),
        usage=usage,
    )
