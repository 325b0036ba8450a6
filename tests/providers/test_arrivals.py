"""How often an answer is read, as its instance has time."""

import asyncio
import time

from lib.providers.arrivals import LONGEST, PHASES, Phases


async def test_a_loop_that_is_late_has_longer_ticks_and_short_ones_again_once_it_keeps_up() -> None:
    phases = Phases()
    assert phases.tick == PHASES
    for _ in range(4 * PHASES):
        begins = phases.reach(phases.now() + 1)
        time.sleep(0.03)  # noqa: ASYNC251 - that is what makes it late
        await begins
    assert 2 * PHASES < phases.tick <= LONGEST * PHASES
    for _ in range(8 * PHASES):
        await phases.reach(phases.now() + 1)
    assert phases.tick < 1.5 * PHASES


async def test_an_instance_that_was_frozen_or_idle_is_not_taken_for_a_busy_one() -> None:
    phases = Phases()
    for _ in range(4 * PHASES):
        begins = phases.reach(phases.now() + 1)
        time.sleep(0.03)  # noqa: ASYNC251 - busy
        await begins
    waiting = [phases.reach(phases.now() + after) for after in range(1, PHASES)]
    time.sleep(1.1)  # noqa: ASYNC251 - frozen
    await asyncio.gather(*waiting)
    assert phases.tick < 1.5 * PHASES
