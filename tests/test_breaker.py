"""The breaker."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.breaker import Breaker, Call


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def entered(breaker: Breaker) -> Call:
    call = breaker.enter()
    assert call is not None
    return call


def opened(clock: Callable[[], float]) -> Breaker:
    breaker = Breaker(window=10, clock=clock)
    with entered(breaker) as call:
        assert call.failed(waited=True)
    return breaker


def test_quick_failures_in_a_row_open_it() -> None:
    breaker = Breaker(threshold=3)
    assert [entered(breaker).failed(waited=False) for _ in range(3)] == [False, False, True]
    assert breaker.is_open
    assert breaker.enter() is None


def test_an_answer_between_them_has_the_row_begin_anew() -> None:
    breaker = Breaker(threshold=2)
    entered(breaker).failed(waited=False)
    assert not entered(breaker).answered(), "there was nothing to close"
    entered(breaker).failed(waited=False)
    assert not breaker.is_open


def test_what_breaks_off_together_counts_once() -> None:
    breaker = Breaker(threshold=2)
    under_way = [entered(breaker) for _ in range(5)]
    assert not any(call.failed(waited=False) for call in under_way)
    assert entered(breaker).failed(waited=False)


def test_one_failure_that_waited_out_its_budget_opens_it_at_once() -> None:
    breaker = Breaker(threshold=3)
    assert entered(breaker).failed(waited=True)
    assert breaker.enter() is None


def test_where_nobody_could_step_in_the_second_silence_in_a_row_opens_it() -> None:
    breaker = Breaker(threshold=9)
    assert not entered(breaker).failed(waited=True, alone=True)
    entered(breaker).answered()
    under_way = [entered(breaker) for _ in range(2)]
    assert [call.failed(waited=True, alone=True) for call in under_way] == [False, True], "also of those at once"


def test_no_refusal_and_no_silence_among_answers_makes_the_next_silence_the_second() -> None:
    breaker = Breaker(threshold=9)
    among_answers = entered(breaker)
    entered(breaker).answered()
    assert not among_answers.failed(waited=True, alone=True)
    assert not entered(breaker).failed(waited=False, alone=True)
    assert not entered(breaker).failed(waited=True, alone=True)
    assert entered(breaker).failed(waited=True), "somebody can step in by now"


def test_one_that_waited_while_others_were_answered_only_counts() -> None:
    breaker = Breaker(threshold=2)
    stuck, other = entered(breaker), entered(breaker)
    other.answered()
    assert stuck.others_answered
    assert not stuck.failed(waited=True)
    assert not breaker.is_open
    assert entered(breaker).failed(waited=False)


def test_what_was_answered_before_a_call_began_does_not_speak_for_it() -> None:
    breaker = Breaker()
    entered(breaker).answered()
    late = entered(breaker)
    assert not late.others_answered
    assert late.failed(waited=True)


def test_after_a_window_one_probe_goes_through_and_everybody_else_is_told_at_once(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now = 9.9
    assert breaker.enter() is None
    clock.now = 10
    with entered(breaker) as probe:
        clock.now = 1000
        assert breaker.enter() is None, "however long the probe takes"
        assert probe.answered(), "it says that it closed the breaker"
        assert not breaker.is_open
    assert breaker.enter() is not None


def test_a_probe_that_fails_starts_a_window_of_its_own(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now = 10
    with entered(breaker) as probe:
        clock.now = 13
        assert not probe.failed(waited=True), "it was open before"
    clock.now = 22.9
    assert breaker.enter() is None
    clock.now = 23
    assert breaker.enter() is not None


def test_a_probe_that_is_cancelled_gives_its_place_back(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now = 10
    probe = entered(breaker)
    with pytest.raises(KeyboardInterrupt), probe:
        raise KeyboardInterrupt
    with entered(breaker):
        assert breaker.enter() is None


def test_what_a_cancelled_probe_still_hears_closes_it(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now = 10
    with entered(breaker) as probe:
        pass
    assert probe.answered()


def test_a_call_that_began_before_it_opened_closes_it_by_an_answer_and_prolongs_nothing_by_a_failure(
    clock: Clock,
) -> None:
    breaker = Breaker(window=10, clock=clock)
    first, second, third = (entered(breaker) for _ in range(3))
    assert first.failed(waited=True)
    clock.now = 9
    assert not second.failed(waited=True)
    clock.now = 10
    with entered(breaker):
        assert third.answered()
    assert not breaker.is_open


def test_a_look_regardless_goes_through_is_no_probe_and_closes_it_by_an_answer(clock: Clock) -> None:
    breaker = opened(clock)
    look = breaker.enter(regardless=True)
    assert look is not None
    clock.now = 10
    with look, entered(breaker) as probe:
        look.failed(waited=True)
        assert breaker.enter() is None, "the probe is still under way"
        assert look.answered()
        assert not probe.failed(waited=False), "one of several in a row, by now"


def test_who_is_refused_can_be_told_when_to_come_back(clock: Clock) -> None:
    breaker = opened(clock)
    assert breaker.retry_after == 10
    clock.now = 8.5
    assert breaker.retry_after == 2
    clock.now = 12
    assert breaker.retry_after == 1
    assert Breaker().retry_after == 1


STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", "answered", "failed", "waited", "alone", "leave", "tick"]), st.integers(0, 5))
)


@given(STEPS)
def test_a_dead_dependency_is_asked_once_a_window_whatever_happens_in_which_order(steps: list[tuple[str, int]]) -> None:
    clock = Clock()
    breaker = Breaker(window=10, threshold=3, clock=clock)
    under_way: list[Call] = []
    probe: Call | None = None
    opened_at = 0.0
    for step, number in steps:
        was_open = breaker.is_open
        call = under_way[number % len(under_way)] if under_way else None
        if step == "tick":
            clock.now += number
        elif step == "enter":
            due = not was_open or (probe is None and clock.now >= opened_at + 10)
            call = breaker.enter()
            assert (call is not None) == due
            if call:
                under_way.append(call)
                probe = call if was_open else None
        elif call and step == "answered":
            assert call.answered() == was_open
            probe = None
            assert not breaker.is_open
        elif call and step in {"failed", "waited", "alone"}:
            opens = call.failed(waited=step != "failed", alone=step == "alone")
            assert opens == (breaker.is_open and not was_open)
            if opens or call is probe:
                opened_at, probe = clock.now, None
        elif call:
            with call:
                under_way.remove(call)
            probe = None if call is probe else probe
