"""A bound on each of many waits."""

import asyncio
from types import TracebackType
from typing import Self


class Patience:
    """Ends what its task waits for once that lasts too long: `with patience.until(when):`, again and again.

    `asyncio.timeout` has a timer for each wait, which an answer has one of for each of its pieces. Here one timer looks
    at whatever is waited for when it goes off, and is set anew where that may last longer.
    """

    def __init__(self) -> None:
        """Begin with nothing to wait for."""
        self._until = 0.0
        self._waiting: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = 0.0

    def until(self, when: float) -> Self:
        """Set when the next wait ends, in the event loop's time."""
        self._until = when
        return self

    def lose(self) -> None:
        """End what is waited for now, if anything is. What has come already is still had."""
        if self._waiting is not None:
            self._until = asyncio.get_running_loop().time()
            self._set()

    def close(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        """Begin to wait."""
        self._waiting = task = asyncio.current_task()
        self._cancelling = task.cancelling() if task else 0
        if self._timer is None or self._looks_at > self._until:
            self._set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the wait.

        Raises:
            TimeoutError: it was too long.
        """
        task, self._waiting = self._waiting, None
        if not self._is_over or task is None:
            return
        self._is_over = False
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _set(self) -> None:
        self.close()
        self._looks_at = self._until
        self._timer = asyncio.get_running_loop().call_at(self._until, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiting is None or self._is_over:
            return
        if asyncio.get_running_loop().time() < self._until:
            self._set()
        else:
            self._is_over = True
            self._waiting.cancel()
