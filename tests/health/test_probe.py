"""A probe: bounded in time, shared by all who ask at once, and kept for a moment."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from lib.health.probe import BROKEN, Probe, Reading, Unwell, not_configured, timed


@dataclass
class Thing:
    """Something that is asked, and answers when it is told to."""

    asked: int = 0
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> Reading:
        self.asked += 1
        self.was_asked.set()
        await self.answers.wait()
        return Reading("ok", float(self.asked))


async def test_many_who_ask_at_once_share_one_question() -> None:
    thing = Thing()
    probe = Probe(thing.read, limit=5)
    asking = [asyncio.create_task(probe.read()) for _ in range(50)]
    await thing.was_asked.wait()
    thing.answers.set()
    assert {reading.latency_ms for reading in await asyncio.gather(*asking)} == {1.0}
    assert thing.asked == 1


async def test_a_reading_holds_for_a_moment_and_then_it_is_asked_again() -> None:
    thing, now = Thing(), [100.0]
    thing.answers.set()
    probe = Probe(thing.read, limit=5, fresh=5, clock=lambda: now[0])
    for moment in (100.0, 104.9, 105.0, 109.0):
        now[0] = moment
        await probe.read()
    assert thing.asked == 2


async def test_whoever_waits_is_told_at_the_limit_and_nothing_more_is_asked_until_it_answers() -> None:
    thing = Thing()
    probe = Probe(thing.read, limit=0.01)
    for _ in range(3):
        reading = await probe.read()
        assert (reading.status, reading.detail) == ("down", "There was no answer within 0.01 s.")
    assert thing.asked == 1
    thing.answers.set()
    while (await probe.read()).status != "ok":
        pass
    assert thing.asked == 1


async def test_a_reading_that_took_longer_than_its_limit_is_not_kept() -> None:
    thing, now = Thing(), [100.0]
    probe = Probe(thing.read, limit=2, fresh=5, clock=lambda: now[0])
    asking = asyncio.create_task(probe.read())
    await thing.was_asked.wait()
    now[0] = 102.1
    thing.answers.set()
    assert (await asking).latency_ms == 1
    assert (await probe.read()).latency_ms == 2
    assert (await probe.read()).latency_ms == 2


def test_after_a_freeze_it_is_asked_anew_and_what_was_asked_before_it_is_left_to_itself() -> None:
    asked: list[Reading] = []

    async def read() -> Reading:
        asked.append(Reading("ok", float(len(asked) + 1)))
        if len(asked) > 1:
            return asked[-1]
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await asyncio.Event().wait()
        return Reading("down", detail="What was asked before the freeze.")

    probe = Probe(read, limit=0.01, fresh=0.02)
    with asyncio.Runner() as runner:  # which stops its loop between two runs, as a function on Lambda does
        assert runner.run(probe.read()).status == "down"
        time.sleep(0.05)
        assert runner.run(probe.read()).latency_ms == 2
        assert runner.run(_leave_time()) is None
        assert runner.run(probe.read()).status == "ok"


async def _leave_time() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_who_leaves_takes_the_answer_from_nobody() -> None:
    thing = Thing()
    probe = Probe(thing.read, limit=5)
    leaves, stays = asyncio.create_task(probe.read()), asyncio.create_task(probe.read())
    await thing.was_asked.wait()
    leaves.cancel()
    thing.answers.set()
    assert (await stays).status == "ok"


async def test_what_is_slow_is_degraded() -> None:
    async def ask() -> None:
        await asyncio.sleep(0.02)

    reading = await timed(ask, slow=0.01)
    assert (reading.status, reading.detail) == ("degraded", "It works, and took more than 0.01 s.")
    assert reading.latency_ms is not None
    assert reading.latency_ms >= 20


async def test_what_fails_in_a_way_that_nobody_thought_of_is_down_and_says_nothing_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def ask() -> None:
        raise LookupError("postgresql://user:secret@host")

    reading = await timed(ask, slow=1)
    assert (reading.status, reading.detail) == ("down", BROKEN)
    assert "a probe failed: LookupError" in caplog.messages


async def test_what_is_down_says_why_and_what_is_not_there_took_no_time() -> None:
    async def refused() -> None:
        raise Unwell("It is away.")

    async def absent() -> Reading:
        return not_configured("There is none.")

    assert ((down := await timed(refused, slow=1)).status, down.detail, down.configured) == (
        "down",
        "It is away.",
        True,
    )
    assert ((none := await timed(absent, slow=1)).latency_ms, none.configured) == (None, False)
