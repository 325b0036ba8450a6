"""When an instance takes turns to wait in the spool, and when it looks for them."""

from lib.spool.outlook import LOOK_EVERY, PAUSE, Outlook


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def looked(outlook: Outlook, *, left: int, gone: int) -> None:
    with outlook.look() as look:
        look.found(left=left, gone=gone)


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
        look.found(left=0, gone=0)
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
