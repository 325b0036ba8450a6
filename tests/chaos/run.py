"""Many seeds, a few at a time."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.chaos.findings import Outcome
from tests.chaos.seed import run_seed
from tests.chaos.town import Places, Town, quarter, town

QUARTERS: Final = 4
"""Seeds at a time. Most of a seed is waiting: for budgets that pass, for a model that speaks slowly."""


async def run(
    at: Places, folder: Path, seeds: Iterable[int], *, breakage: str | None = None, enough: int | None = None
) -> list[Outcome]:
    """Run seeds and return how they went, in their order.

    Args:
        at: the real parts.
        folder: for the data of the servers.
        seeds: which.
        breakage: a build that is broken on purpose.
        enough: stop once so many seeds have failed.
    """
    waiting, outcomes = iter(seeds), list[Outcome]()
    async with town(at, breakage) as place, asyncio.TaskGroup() as group:
        for _ in range(QUARTERS):
            group.create_task(_run_some(place, folder, waiting, outcomes, enough))
    return sorted(outcomes, key=lambda outcome: outcome.seed)


async def _run_some(
    place: Town, folder: Path, waiting: Iterable[int], outcomes: list[Outcome], enough: int | None
) -> None:
    async with quarter(place) as own:
        for seed in waiting:
            data = folder / f"seed-{seed}"
            data.mkdir()
            outcomes.append(await run_seed(seed, own, data))
            if enough is not None and sum(bool(outcome.findings) for outcome in outcomes) >= enough:
                return
