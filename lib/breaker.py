"""A circuit breaker: a dependency that is away is asked again once a window, not once a request."""

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

WINDOW: Final = 10.0
"""Seconds an open breaker waits before it lets one probe through."""
THRESHOLD: Final = 3
"""Quick failures in a row that open it: one more than the calls of one turn that meet with the same hiccup."""
ALONE: Final = 2
"""Silences in a row that open it where nobody could step in: one of them may be the fault of what was asked."""


class Breaker:
    """Closed, it lets every call through; open, none; after a window one call, the probe, decides for all.

    Why it opens when it does is told in `docs/decisions/breakers.md`. It holds no lock: nothing here awaits.
    """

    def __init__(
        self, *, window: float = WINDOW, threshold: int = THRESHOLD, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start closed."""
        self._state = _State(window, threshold, clock)

    @property
    def is_open(self) -> bool:
        """Whether the dependency is taken to be away."""
        return self._state.is_open

    @property
    def retry_after(self) -> int:
        """Whole seconds, at least 1, after which it is worth asking again."""
        return self._state.retry_after

    def enter(self, *, regardless: bool = False) -> "Call | None":
        """Let a call through, or say that it is not worth trying.

        Args:
            regardless: let it through also while open. It is then no probe: who waits for the next waits on.

        Returns:
            The call, a context manager that has to be left, whichever way; None while the dependency is taken to be
            away.
        """
        call = Call(self._state)
        return call if regardless or self._state.admits(call) else None


class Call:
    """A call that was let through. How it went is worth knowing also when nobody waits for it any more."""

    __slots__ = ("_answers_before", "_failures_before", "_state")

    def __init__(self, state: "_State") -> None:
        """Begin it."""
        self._state = state
        self._answers_before = state.answers
        self._failures_before = state.failures

    @property
    def others_answered(self) -> bool:
        """Whether the dependency has answered anybody since this call began."""
        return self._state.answers > self._answers_before

    def answered(self) -> bool:
        """Say that the dependency answered, if only with a refusal; return whether that closes the breaker."""
        return self._state.close()

    def failed(self, *, waited: bool, alone: bool = False) -> bool:
        """Say that the dependency is away; return whether that opens the breaker.

        Args:
            waited: it was silent for all the time that the call had. That opens the breaker at once, unless the
                dependency answered another call meanwhile. A failure that shows sooner is one of several in a row, in
                which calls that were under way together count once: a restart breaks them all off.
            alone: nobody could step in for the dependency. Then it takes a second silence, and no answer to anybody
                between the two.
        """
        counts = self._state.failures == self._failures_before
        silent = waited and not self.others_answered
        return self._state.fail(self, silent=silent, opens_at=ALONE if alone else 1, counts=counts)

    def __enter__(self) -> Self:
        """Nothing more: it has begun."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the probe's place back, if this was one and it has found nothing out, as when it was cancelled."""
        self._state.leave(self)


class _State:
    def __init__(self, window: float, threshold: int, clock: Callable[[], float]) -> None:
        self._window = window
        self._threshold = threshold
        self._clock = clock
        self._row = 0
        self._silences = 0
        self._next_probe = 0.0
        self._probe: Call | None = None
        self.is_open = False
        self.answers = 0
        self.failures = 0

    @property
    def retry_after(self) -> int:
        return max(1, math.ceil(self._next_probe - self._clock())) if self.is_open else 1

    def admits(self, call: Call) -> bool:
        if not self.is_open:
            return True
        if self._probe is not None or self._clock() < self._next_probe:
            return False
        self._probe = call
        return True

    def close(self) -> bool:
        closes, self.is_open = self.is_open, False
        self.answers += 1
        self._row, self._silences, self._probe = 0, 0, None
        return closes

    def fail(self, call: Call, *, silent: bool, opens_at: int, counts: bool) -> bool:
        if self.is_open:
            if call is self._probe:
                self._open()
            return False  # what began before it opened says nothing new
        if counts:
            self.failures += 1
            self._row += 1
        self._silences += silent
        if not (silent and self._silences >= opens_at) and self._row < self._threshold:
            return False
        self._open()
        return True

    def leave(self, call: Call) -> None:
        if call is self._probe:
            self._probe = None

    def _open(self) -> None:
        self.is_open = True
        self._next_probe, self._probe = self._clock() + self._window, None
