"""Many waits, each with its bound, and one timer."""

import asyncio
import time

import pytest

from lib.patience import Patience


def in_a(while_: float) -> float:
    return asyncio.get_running_loop().time() + while_


async def test_a_wait_that_lasts_too_long_ends_and_the_next_may_last() -> None:
    patience = Patience()
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(TimeoutError), patience.until(in_a(0.05)):
            await asyncio.sleep(5)
        assert 0.04 < time.monotonic() - began < 1
    with patience.until(in_a(5)):
        await asyncio.sleep(0.1)
    patience.close()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_each_wait_has_its_own_end_whether_later_or_sooner_than_the_one_before() -> None:
    patience = Patience()
    with patience.until(in_a(0.05)):
        await asyncio.sleep(0)
    with patience.until(in_a(5)):
        await asyncio.sleep(0.1)
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(TimeoutError), patience.until(in_a(0.05)):
            await asyncio.sleep(5)
        assert time.monotonic() - began < 1
        with patience.until(in_a(0.1)):
            await asyncio.sleep(0)
        patience.close()  # as between two providers


async def test_it_can_be_lost_at_once_and_between_two_waits_there_is_nothing_to_lose() -> None:
    patience = Patience()
    patience.lose()
    with patience.until(in_a(5)):
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.02, patience.lose)
    with pytest.raises(TimeoutError), patience.until(in_a(5)):
        await asyncio.sleep(5)
    patience.close()


async def test_what_was_said_in_time_is_no_loss_and_other_errors_pass() -> None:
    patience = Patience()
    with pytest.raises(KeyError), patience.until(in_a(5)):
        raise KeyError
    with patience.until(in_a(-1)):
        pass
    await asyncio.sleep(0.02)
    patience.close()


@pytest.mark.parametrize("seconds", [5, -1])
async def test_a_cancellation_from_outside_stays_one_also_where_the_wait_ends_in_the_same_moment(seconds: int) -> None:
    patience = Patience()

    async def wait() -> None:
        with patience.until(in_a(seconds)):
            await asyncio.sleep(5)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0, waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    patience.close()


async def test_what_came_before_it_was_lost_is_had() -> None:
    patience, piece = Patience(), asyncio.get_running_loop().create_future()

    def come_and_lose() -> None:
        piece.set_result("a piece")
        patience.lose()

    asyncio.get_running_loop().call_soon(come_and_lose)
    with patience.until(in_a(5)):
        assert await piece == "a piece"
    await asyncio.sleep(0.02)
    patience.close()


async def test_many_waits_have_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, patience, timers = asyncio.get_running_loop(), Patience(), 0
    call_at = loop.call_at

    def counting(*arguments: object, **named: object) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        return call_at(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", counting)
    for _ in range(100):
        with patience.until(in_a(5)):
            await asyncio.sleep(0)
    patience.close()
    assert timers == 1
