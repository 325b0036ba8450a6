"""The breaker."""

from lib.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_failures_in_a_row_and_lets_one_probe_through_a_window() -> None:
    clock = Clock()
    breaker = Breaker(window=10, threshold=2, clock=clock)
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allows()
    clock.now = 10
    assert [breaker.allows(), breaker.allows()] == [True, False]


def test_a_probe_that_fails_starts_another_window() -> None:
    clock = Clock()
    breaker = Breaker(window=10, threshold=1, clock=clock)
    breaker.failed()
    clock.now = 10
    assert breaker.allows()
    clock.now = 12
    breaker.failed()
    clock.now = 21
    assert not breaker.allows()
    clock.now = 22
    assert breaker.allows()


def test_an_answer_closes_it_and_forgets_earlier_failures() -> None:
    breaker = Breaker(threshold=2)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert not breaker.is_open
