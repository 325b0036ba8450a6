"""The proof that nothing is lost, in short; and that it would see if something were."""

from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from typing import Final

import pytest

from scripts.init_db import upgrade
from tests.chaos.breakages import BREAKAGES
from tests.chaos.findings import Wrong
from tests.chaos.plan import Plan, draw
from tests.chaos.run import run
from tests.chaos.town import Places
from tests.fixtures.postgres import open_folder

SEEDS: Final = 20
MOST: Final = 24
"""Seeds in which a broken build has to be caught."""


def kills_while_all_talk(plan: Plan) -> bool:
    return any(fault.kind == "kill" and fault.word is None and 0.15 < fault.at < 0.7 for fault in plan.faults)


def kills_at_a_last_word(plan: Plan) -> bool:
    return any(fault.kind == "kill" and fault.word is not None for fault in plan.faults)


def spools(plan: Plan) -> bool:
    return any(fault.target == "database" and fault.lasts > 1.1 for fault in plan.faults)


def spools_in_vain(plan: Plan) -> bool:
    return spools(plan) and any(fault.target == "storage" and fault.lasts > 0.2 for fault in plan.faults)


def repeats(plan: Plan) -> bool:
    return any(step.copies > 1 for talk in plan.talks for step in talk.steps)


CAUGHT: Final[dict[str, tuple[Callable[[Plan], bool], Wrong, str]]] = {
    "save-after-done": (kills_at_a_last_word, "lost", "saved"),
    "spool-forgets": (spools_in_vain, "lost", "spooled"),
    "replay-twice": (spools, "lost", "spooled"),
    "reaper-asleep": (kills_while_all_talk, "uncaught", "is streaming"),
    "keys-ignored": (repeats, "doubled", "answers"),
    "question-after-answer": (spools, "lost", "the question"),
}
"""In what seeds a broken build shows, as what, and in which words: not for any other reason."""


@pytest.fixture
def places(empty_database_url: str, s3_server: tuple[str, Path], qdrant_url: str) -> Places:
    """A database of its own: jobs are for every team's answers, and other tests count them."""
    upgrade(empty_database_url)
    return Places(empty_database_url, *s3_server, qdrant_url)


async def test_nothing_is_lost_doubled_or_uncaught(places: Places) -> None:
    with open_folder() as folder:
        outcomes = await run(places, folder, range(1, SEEDS + 1))
    assert {outcome.seed: list(map(str, outcome.findings)) for outcome in outcomes if outcome.findings} == {}
    assert sum(outcome.acknowledged for outcome in outcomes) > 5 * SEEDS
    assert sum(outcome.spooled for outcome in outcomes) > SEEDS / 2
    assert sum(outcome.calls for outcome in outcomes) == sum(outcome.answered for outcome in outcomes)


RARELY: Final = ("spool-forgets", "reaper-asleep", "question-after-answer")
"""What it takes many seeds to catch."""


@pytest.mark.parametrize(
    "breakage", [pytest.param(name, marks=[pytest.mark.long] if name in RARELY else []) for name in BREAKAGES]
)
async def test_a_build_that_is_broken_on_purpose_is_caught(places: Places, breakage: str) -> None:
    suits, wrong, words = CAUGHT[breakage]
    first = 10_000 * (1 + list(BREAKAGES).index(breakage))
    seeds = list(islice((seed for seed in count(first) if suits(draw(seed))), MOST))
    with open_folder() as folder:
        outcomes = await run(places, folder, seeds, breakage=breakage, enough=1)
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    assert any(finding.wrong == wrong and words in finding.what for finding in findings), list(map(str, findings))


def test_a_seed_is_always_the_same() -> None:
    assert [draw(seed) for seed in range(50)] == [draw(seed) for seed in range(50)]
    assert draw(1) != draw(2)
