"""Who may hold one of an instance's few connections, and who waits for it, in the order of asking."""

import asyncio
from collections import deque
from contextlib import suppress


class LetGo(Exception):
    """Nothing is worth waiting for any more."""


class Places:
    """So many places: whoever has one may hold a connection."""

    def __init__(self, number: int) -> None:
        """Begin with all of them free."""
        self._free = number
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, *, patience: float) -> None:
        """Take a place, which has to be given back, or wait for one for `patience` seconds.

        Raises:
            TimeoutError: none came free.
            LetGo: nobody waits any more.
        """
        if self._free:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(patience):
                await place
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.give_back()  # it came in the moment of giving up
            with suppress(ValueError):
                self._waiting.remove(place)
            raise

    def give_back(self) -> None:
        """Hand a place to who has waited longest, if anybody does."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def let_go(self) -> None:
        """Have everybody who waits know that it is in vain."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(LetGo())
