"""What is wrong with a seed, and what is counted of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Wrong = Literal["lost", "doubled", "uncaught"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must never be: an answer that is lost, or there twice; or anything that nobody caught."""

    wrong: Wrong
    what: str

    def __str__(self) -> str:
        return f"{self.wrong}: {self.what}"


@dataclass(slots=True)
class Outcome:
    """How a seed went.

    Attributes:
        faults: how often what went wrong, by target and kind.
        turns: questions that were put; a retry is none.
        acknowledged: answers that were promised, by a last word that said saved or spooled.
        found: those of them that are there exactly once, as they were told.
        retried: promised answers in whose place another answer to the same key is there.
        spooled: those that were promised since they waited in the spool.
        interrupted: answers that ended early, and say so.
        calls: calls of the model that came through whole, of turns that were promised whole.
        answered: those turns.
        seconds: how long it took.
        story: what happened, line by line.
    """

    seed: int
    faults: Counter[str] = field(default_factory=Counter[str])
    turns: int = 0
    acknowledged: int = 0
    found: int = 0
    retried: int = 0
    spooled: int = 0
    interrupted: int = 0
    calls: int = 0
    answered: int = 0
    seconds: float = 0.0
    story: list[str] = field(default_factory=list[str])
    findings: list[Finding] = field(default_factory=list[Finding])

    def finds(self, wrong: Wrong, what: str) -> None:
        """Note something that must never be."""
        self.findings.append(Finding(wrong, what))
