"""When an instance takes turns to wait in the spool, and when it looks for them."""

import asyncio

from lib.spool.outlook import LOOK_EVERY, PAUSE, Outlook


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def looked(outlook: Outlook, *, left: int, gone: int, soon: int | None = None) -> None:
    with outlook.look() as look:
        look.found(left=left, soon=left if soon is None else soon, gone=gone)


def test_a_fresh_instance_knows_of_nothing_and_looks() -> None:
    outlook = Outlook(Clock())
    assert (outlook.holds, outlook.due) == (True, True)


def test_who_found_nothing_looks_again_after_a_while() -> None:
    outlook = Outlook(clock := Clock())
    looked(outlook, left=0, gone=0)
    assert (outlook.holds, outlook.due) == (False, False)
    clock.now += LOOK_EVERY + 1
    assert (outlook.holds, outlook.due) == (False, True)


def test_who_keeps_a_turn_looks_at_once() -> None:
    outlook = Outlook(Clock())
    looked(outlook, left=0, gone=0)
    with outlook.keeping():
        assert (outlook.holds, outlook.due) == (True, True)
    assert (outlook.holds, outlook.due) == (True, True)


def test_a_look_says_nothing_of_a_turn_that_is_kept_meanwhile() -> None:
    outlook = Outlook(Clock())
    with outlook.look() as look:
        with outlook.keeping():
            pass
        look.found(left=0, soon=0, gone=0)
    assert outlook.holds
    with outlook.keeping():
        looked(outlook, left=0, gone=0)
    assert outlook.holds


def test_a_look_that_brought_nothing_in_is_not_repeated_at_once() -> None:
    outlook = Outlook(clock := Clock())
    looked(outlook, left=3, gone=0)
    assert (outlook.holds, outlook.due) == (True, False)
    clock.now += PAUSE + 1
    assert outlook.due
    looked(outlook, left=2, gone=1)
    assert (outlook.holds, outlook.due, outlook.left) == (True, True, 2)


def test_what_has_to_wait_for_long_is_not_looked_for_all_the_time() -> None:
    outlook = Outlook(clock := Clock())
    looked(outlook, left=3, soon=0, gone=0)
    assert (outlook.holds, outlook.due, outlook.left) == (False, False, 3)
    clock.now += PAUSE + 1
    assert not outlook.due
    clock.now += LOOK_EVERY
    assert outlook.due


def test_a_look_that_failed_says_nothing_of_what_waits() -> None:
    outlook = Outlook(clock := Clock())
    with outlook.look():
        pass
    assert (outlook.holds, outlook.due) == (True, False)
    clock.now += PAUSE + 1
    assert outlook.due


def test_one_looks_at_a_time() -> None:
    outlook = Outlook(Clock())
    with outlook.look():
        assert (outlook.looking, outlook.due) == (True, False)
    assert not outlook.looking


async def test_who_waits_for_a_look_goes_on_when_none_is_under_way_or_no_time_is_left() -> None:
    outlook = Outlook(Clock())
    assert await outlook.idle(within=0)
    with outlook.look():
        assert not await outlook.idle(within=0.01)
        waiting = [asyncio.create_task(outlook.idle(within=5)) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
    assert [await task for task in waiting] == [True, True]
