"""How far a turn has come."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from lib.chat.citations import CitationFilter
from lib.chat.events import History, ReasoningDelta, Retrieval, Source, TextDelta, Usage, with_cited
from lib.providers.fallback import Fallback
from lib.text import storable
from lib.turns import Outcome, TurnResult

LONGEST_MODEL: Final = 200
"""Characters of a model's name that are kept. A team's own endpoint may call its models anything."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the search for passages gave."""

    sources: tuple[Source, ...] = ()
    retrieval: Retrieval = "off"


@dataclass(slots=True)
class Progress:
    """What would be kept of a turn if it ended now.

    `started_at` is in the event loop's time; `begun` says whether the user's message is committed, `history` where the
    conversation so far came from; `found` is None until the search is over.
    """

    started_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    begun: bool = False
    history: History = "loaded"
    agent_id: UUID | None = None
    found: Found | None = None
    model: str | None = None
    usage: Usage | None = None
    first_token_ms: int | None = None
    stopped: bool = False
    _provider: Fallback | None = None
    _pieces: list[str] = field(default_factory=list[str])
    _thoughts: list[str] = field(default_factory=list[str])
    _filter: CitationFilter = field(default_factory=lambda: CitationFilter(0))

    @property
    def text(self) -> str:
        """The answer so far, as the client was shown it."""
        return "".join(self._pieces)

    @property
    def cited(self) -> tuple[int, ...]:
        """The passages cited so far, ascending."""
        return self._filter.cited

    def asks(self, provider: Fallback) -> None:
        """Note who is asked, so that they can be stopped."""
        self._provider = provider
        if self.stopped:
            provider.stop()

    def stop(self) -> None:
        """Have the answer end with what there is of it."""
        self.stopped = True
        if self._provider is not None:
            self._provider.stop()

    def begins(self, model: str) -> bool:
        """Note who answers, and when, at the first sign of an answer; say whether this is it."""
        if self.model is not None:
            return False
        self.model, self.first_token_ms = storable(model)[:LONGEST_MODEL], self._elapsed_ms()
        return True

    def passages_given(self, found: Found) -> None:
        """Note what the model is given: the answer may cite that and nothing else."""
        self.found, self._filter = found, CitationFilter(len(found.sources))

    def said(self, text: str) -> TextDelta | None:
        """Take a piece from the model; return what may be shown now."""
        return self._show(self._filter.feed(storable(text)))

    def thought(self, text: str) -> ReasoningDelta:
        """Take a piece of what the model thinks aloud."""
        text = storable(text)
        self._thoughts.append(text)
        return ReasoningDelta(text)

    def ended(self) -> TextDelta | None:
        """Return what was held back: the model is done."""
        return self._show(self._filter.flush())

    def result(self, outcome: Outcome, error_code: str | None = None, *, at: datetime) -> TurnResult:
        """Return what is kept of the turn that ends like this, at this time."""
        self.ended()
        return TurnResult(
            outcome=outcome,
            text=self.text,
            reasoning="".join(self._thoughts),
            sources=self._sources(),
            error_code=error_code,
            model=self.model,
            agent_id=self.agent_id,
            retrieval=self.found and self.found.retrieval,
            passages=len(self.found.sources) if self.found else 0,
            input_tokens=self.usage and self.usage.input_tokens,
            output_tokens=self.usage and self.usage.output_tokens,
            first_token_ms=self.first_token_ms,
            total_ms=self._elapsed_ms(),
            finished_at=at,
            history=self.history,
        )

    def _sources(self) -> list[dict[str, Any]] | None:
        if self.found is None or self.found.retrieval == "off":
            return None
        return with_cited(self.found.sources, self.cited)

    def _show(self, text: str) -> TextDelta | None:
        if not text:
            return None
        self._pieces.append(text)
        return TextDelta(text)

    def _elapsed_ms(self) -> int:
        return round((asyncio.get_running_loop().time() - self.started_at) * 1000)
