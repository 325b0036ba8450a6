"""A circuit breaker: a dependency that is away is asked again once a window, not once a request."""

import time
from collections.abc import Callable
from typing import Final

WINDOW: Final = 10.0
"""Seconds an open breaker waits before it lets one probe through."""
THRESHOLD: Final = 3
"""Failures in a row that open it: one more than the calls of one turn that got stuck."""


class Breaker:
    """Closed, it lets every call through; open, none; after a window, one call as a probe decides.

    It is used from one event loop and holds no lock: nothing here awaits.
    """

    def __init__(
        self, *, window: float = WINDOW, threshold: int = THRESHOLD, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start closed."""
        self._window = window
        self._threshold = threshold
        self._clock = clock
        self._failures = 0
        self._next_probe = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the dependency is taken to be away."""
        return self._failures >= self._threshold

    def allows(self) -> bool:
        """Say whether a call may go through now. A yes while open is the one probe of this window."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._next_probe:
            return False
        self._next_probe = now + self._window
        return True

    def succeeded(self) -> None:
        """Close: the dependency answered."""
        self._failures = 0

    def failed(self) -> None:
        """Count a failure; the one that reaches the threshold, and every one after it, starts a window."""
        self._failures += 1
        if self.is_open:
            self._next_probe = self._clock() + self._window
