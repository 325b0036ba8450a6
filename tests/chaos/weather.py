"""Faults at work: each begins at its time, or with the word that it waits for, and ends after a while."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from lib.unhindered import unhindered
from tests.chaos.findings import Outcome
from tests.chaos.ledger import Ledger
from tests.chaos.plan import Fault, Plan
from tests.chaos.process import Server
from tests.chaos.town import Quarter


class Weather:
    """What goes wrong in a seed, as long as people talk."""

    def __init__(
        self, plan: Plan, quarter: Quarter, server: Server, ledger: Ledger, teams: Sequence[UUID], outcome: Outcome
    ) -> None:
        self._plan, self._quarter, self._server = plan, quarter, server
        self._ledger, self._teams, self._outcome = ledger, teams, outcome
        self._faults: list[asyncio.Task[None]] = []

    async def during[T](self, work: Awaitable[T]) -> T:
        """Let things go wrong until some work is done. A server that is just being replaced still is."""
        self._faults = [asyncio.create_task(self._run(fault)) for fault in self._plan.faults]
        try:
            return await work
        finally:
            for fault in self._faults:
                fault.cancel()
            for ended in await asyncio.gather(*self._faults, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
            for injector in self._quarter.injectors.values():
                injector.heal()

    async def _run(self, fault: Fault) -> None:
        await (asyncio.sleep(fault.at) if fault.word is None else self._ledger.last_word(fault.word))
        self._outcome.faults[f"{fault.target} {fault.kind}"] += 1
        processes: dict[str, Callable[[], Awaitable[None]]] = {
            "kill": lambda: unhindered(self._server.kill(fault.lasts, self._meanwhile)),
            "term": lambda: unhindered(self._server.tell_to_end()),
        }
        if fault.kind in processes:
            await processes[fault.kind]()
            return
        injector = self._quarter.injectors[fault.target]
        injector.begin(fault)
        await asyncio.sleep(fault.lasts)
        injector.end(fault)

    async def _meanwhile(self) -> None:
        """Let time pass while no server runs, if it does."""
        if self._plan.time_passes:
            await self._quarter.town.books.let_time_pass(self._plan.seed, self._teams)
