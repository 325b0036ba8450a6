"""A provider with a breaker in front of it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from lib.breaker import Breaker
from lib.errors import ProviderUnavailable
from lib.providers.base import DEFAULTS, Chunk, Options, PromptMessage, Provider


@dataclass(frozen=True, slots=True, eq=False)
class Guarded:
    """One of the deployment's own providers. Whatever a team names has no breaker: it would answer for others.

    Attributes:
        provider: the provider itself.
        entry: the name and the model by which the deployment names it; None for the name's own model.
        breaker: what decides that it is away. `lib.providers.fallback` tells it how a turn's calls go.
    """

    provider: Provider
    entry: tuple[str, str | None]
    breaker: Breaker = field(default_factory=Breaker)

    @property
    def model(self) -> str:
        """The provider's."""
        return self.provider.model

    async def stream(self, messages: tuple[PromptMessage, ...], options: Options = DEFAULTS) -> AsyncGenerator[Chunk]:
        """Ask beside the turns, as for a title: while the breaker is open not at all, and never as its probe.

        Raises:
            ProviderUnavailable: the provider is taken to be away.
            ProviderError: as every provider.
        """
        if self.breaker.is_open:
            raise ProviderUnavailable(retry_after=self.breaker.retry_after)
        async with aclosing(self.provider.stream(messages, options)) as chunks:
            async for chunk in chunks:
                yield chunk
