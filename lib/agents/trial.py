"""An agent's test: one message, what came back, and how it was understood. Nothing is stored."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, assert_never

from lib.errors import ParleyError, ProviderError
from lib.providers.base import PromptMessage, Provider, Reasoning, Text, TokenUsage
from lib.text import storable

if TYPE_CHECKING:
    from lib.agents.answering import Answering

GREETING: Final = "Hello! Who are you?"
LONGEST_TRIAL: Final = 50.0
"""Seconds. A function that answers in one piece has a minute (`vercel.json`)."""
MOST_TEXT: Final = 32_000
"""Characters of an answer that are reported."""


@dataclass(frozen=True, slots=True)
class TrialFault:
    """Why there is no answer, or no whole one."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came back.

    Attributes:
        ok: whether there was a whole answer.
        text: the answer, or what came of it; its first 32,000 characters.
        model: the model that answered or was asked last; None where nobody was asked.
        shape: what a webhook's answer was understood as; None for a model, and where no answer began.
        status: the HTTP status of a webhook's answer.
        content_type: of a webhook's answer, as its header has it but for what is no text.
        excerpt: how a webhook's answer begins, as it was received but for what is no text, without the agent's token.
        first_token_ms: until the answer began.
        total_ms: until it ended, however it did.
        usage: tokens, where they were told.
        error: why it is not `ok`.
    """

    ok: bool = False
    text: str = ""
    model: str | None = None
    shape: str | None = None
    status: int | None = None
    content_type: str | None = None
    excerpt: str | None = None
    first_token_ms: int | None = None
    total_ms: int = 0
    usage: TokenUsage | None = None
    error: TrialFault | None = None


async def try_out(prepare: "Callable[[], Answering]", message: str, *, agent_timeout: float) -> Trial:
    """Ask an agent one thing as a turn would, without history and passages, and report.

    Args:
        prepare: returns who answers; what it raises is reported too.
        message: what is asked.
        agent_timeout: seconds, as for a turn; at most `LONGEST_TRIAL`.
    """
    run = _Run()
    try:
        await run.ask(prepare(), message, min(agent_timeout, LONGEST_TRIAL))
    except ParleyError as error:
        return run.report(TrialFault(error.code, storable(str(error))))
    return run.report(None)


class _Run:
    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._text = ""
        self._first: float | None = None
        self._usage: TokenUsage | None = None
        self._model: str | None = None
        self._asked: Provider | None = None

    async def ask(self, who: "Answering", message: str, seconds: float) -> None:
        from lib.providers.fallback import Fallback, Limits

        self._asked = who.providers[0] if who.is_webhook else None
        provider = Fallback(who.providers, Limits.of(seconds), began=self._began, again=not who.is_webhook)
        system = (PromptMessage("system", who.system_prompt),) if who.system_prompt else ()
        prompt = (*system, PromptMessage("user", message, datetime.now(UTC)))
        try:
            async with aclosing(provider.stream(prompt, who.options)) as chunks:
                async for chunk in chunks:
                    self._first = self._first or self._clock()
                    match chunk:
                        case Text(text):
                            self._text += storable(text)[: MOST_TEXT - len(self._text)]
                        case Reasoning():
                            pass
                        case TokenUsage():
                            self._usage = chunk
                        case _:
                            assert_never(chunk)
        finally:
            self._model = storable(provider.model) or None
        if not self._text:
            raise ProviderError("The model gave no answer.")

    def report(self, fault: TrialFault | None) -> Trial:
        """Return what came of it by now."""
        from lib.providers.webhook import WebhookProvider

        answered = self._asked if isinstance(self._asked, WebhookProvider) and self._asked.status else None
        return Trial(
            ok=fault is None,
            text=self._text,
            model=self._model,
            shape=answered and answered.shape,
            status=answered and answered.status,
            content_type=answered and answered.content_type and storable(answered.content_type),
            excerpt=answered and storable(answered.excerpt),
            first_token_ms=None if self._first is None else self._since(self._first),
            total_ms=self._since(self._clock()),
            usage=self._usage,
            error=fault,
        )

    def _since(self, at: float) -> int:
        return round((at - self._began) * 1000)
