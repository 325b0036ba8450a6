"""The order of fallback, and the clock: one answer out of several providers, each watched alike."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Self

from lib.errors import (
    ContextTooLong,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from lib.patience import Patience
from lib.providers.base import DEFAULTS, Chunk, Options, PromptMessage, Provider
from lib.providers.guarded import Guarded

_log = logging.getLogger("parley.providers")


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of silence a turn bears: before the first token, between two chunks, and the whole turn."""

    first_token: float
    stall: float
    whole: float

    @classmethod
    def of(cls, agent_timeout: float) -> Self:
        """Derive the limits: half of a turn for the first token, so that a second provider has the other half."""
        return cls(first_token=agent_timeout / 2, stall=agent_timeout / 3, whole=agent_timeout)


class AnswerStopped(Exception):
    """Whoever reads the answer wants no more of it."""


class Fallback:
    """One turn's provider: the first of several that begins to answer.

    A provider that fails before its first chunk is followed by the next; a single one is asked once more. One whose
    breaker is open is passed over. After the first chunk a failure is final, since a second answer would not go on from
    half of a first.
    """

    def __init__(self, providers: Sequence[Provider], limits: Limits, *, began: float, again: bool = True) -> None:
        """Take the providers, at least one, in their order, and when the turn began, in the event loop's time.

        Where asking has effects, as with a webhook, nobody is asked `again`: the first provider alone answers. It may
        be silent as long as the turn lasts, since nobody else needs the time and it may be at work.
        """
        more = [*providers, *providers][: max(2, len(providers))]
        self._attempts = more if again else providers[:1]
        self._limits = limits if again else replace(limits, first_token=limits.whole, stall=limits.whole)
        self._deadline = began + limits.whole
        self._current = providers[0]
        self._stopped = False
        self._patience = Patience()

    @property
    def model(self) -> str:
        """The model that answers, or was asked last."""
        return self._current.model

    def stop(self) -> None:
        """End the answer at once, also while the provider is silent: the stream raises `AnswerStopped`."""
        self._stopped = True
        self._patience.lose()

    async def stream(self, messages: tuple[PromptMessage, ...], options: Options = DEFAULTS) -> AsyncGenerator[Chunk]:
        """Yield the answer.

        Raises:
            AnswerStopped: after `stop`.
            ProviderTimeout: when a limit was passed.
            ProviderUnavailable: when every provider is taken to be away.
            ProviderError: that of the first that was asked, when none began to answer; else of the one that broke off.
        """
        failure: ProviderError | None = None
        for provider in self._attempts:
            if failure and provider is self._current and isinstance(failure, _POINTLESS_AGAIN):
                break
            self._current = provider
            attempt = _Attempt(provider, patient=self._is_patient(), alone=self._is_alone(provider))
            try:
                with attempt:
                    async with aclosing(self._watched(attempt.asked.stream(messages, options))) as chunks:
                        async for chunk in chunks:
                            if not attempt.begun:
                                attempt.begins()
                            yield chunk
            except ProviderError as error:
                if attempt.begun:
                    raise
                _log.warning("%s did not begin to answer: %s", provider.model, error.code)
                failure = _first(failure, error)
            else:
                if attempt.begun:
                    return
                failure = _first(failure, ProviderError("The model gave no answer."))
        raise failure or ProviderError

    def _is_patient(self) -> bool:
        """Whether there is time enough left to take silence for an absence."""
        return self._deadline - asyncio.get_running_loop().time() >= self._limits.first_token / 2

    def _is_alone(self, provider: Provider) -> bool:
        """Whether no other provider would answer the next turn in its place."""
        return all(each is provider or (isinstance(each, Guarded) and each.breaker.is_open) for each in self._attempts)

    async def _watched(self, answer: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
        """Yield a provider's chunks; only its silence counts against it, never a slow reader on our side."""
        clock = asyncio.get_running_loop().time
        silence = self._limits.first_token
        async with aclosing(answer) as chunks:
            try:
                while not self._stopped:
                    with self._patience.until(min(clock() + silence, self._deadline)):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        return
                    yield chunk
                    silence = self._limits.stall
            except TimeoutError:
                if not self._stopped:
                    raise ProviderTimeout from None
            finally:
                self._patience.close()
        raise AnswerStopped


class _Attempt:
    """One call to a provider. What becomes of its beginning is told to the provider's breaker, if there is one.

    Attributes:
        asked: the provider to ask. One that is taken to be away says so itself.
        begun: whether it has begun to answer.
    """

    def __init__(self, provider: Provider, *, patient: bool, alone: bool) -> None:
        """Begin it.

        Args:
            provider: whom to call.
            patient: whether the provider's silence would say anything of it.
            alone: whether nobody else would answer in its place.
        """
        self._call = provider.breaker.enter() if isinstance(provider, Guarded) else None
        self._patient = patient
        self._alone = alone
        self.asked = provider.provider if isinstance(provider, Guarded) and self._call else provider
        self.begun = False

    def begins(self) -> None:
        """Note that the first of the answer is here. How it goes on says little of whether the next would begin."""
        self.begun = True
        if self._call:
            self._call.answered()

    def __enter__(self) -> None:
        """Nothing more: it has begun."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Tell the breaker why nothing began; of a reader who left first there is nothing to tell."""
        if self._call is None:
            return
        with self._call as call:
            if self.begun or not isinstance(error, ProviderError | None):
                return
            if not isinstance(error, ProviderTimeout):
                call.failed(waited=False) if error and error.away else call.answered()
            elif self._patient:
                call.failed(waited=True, alone=self._alone)


def _first(failure: ProviderError | None, error: ProviderError) -> ProviderError:
    """Return which of two failures to tell: the first of somebody who was asked; else who can be asked again sooner."""
    if failure is None:
        return error
    if not isinstance(failure, ProviderUnavailable):
        return failure
    if isinstance(error, ProviderUnavailable):
        return min(failure, error, key=lambda each: each.retry_after or 0)
    return error


# Asking the same provider again at once would give the same error, or take as long to give none.
_POINTLESS_AGAIN = (ProviderRefused, ProviderRateLimited, ContextTooLong, ProviderTimeout, ProviderUnavailable)
