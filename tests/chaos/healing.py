"""Everything is well again: what waits is replayed, what was left open is closed, and then nothing moves any more."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from tests.chaos.client import Client
from tests.chaos.findings import Outcome
from tests.chaos.plan import Plan
from tests.chaos.process import Server
from tests.chaos.town import Quarter
from tests.fixtures.web import CRON_SECRET

PATIENCE: Final = 12.0
"""Seconds until what is not over by itself is a fault: more than any budget of the server's."""
LEFT_OPEN: Final = 4.0
"""Seconds after which an answer that is still `streaming` is one that nobody writes: its turn could not be kept."""
LOOK: Final = 0.04
_SCHEDULE: Final = {"Authorization": f"Bearer {CRON_SECRET}"}


async def heal(
    plan: Plan, quarter: Quarter, server: Server, client: Client, teams: Sequence[UUID], outcome: Outcome
) -> None:
    """Return once the server has done all that it has to do, now that nothing goes wrong any more."""
    if plan.moves_on:
        await server.tell_to_end()
    healing = _Healing(plan, quarter, server, client, teams, outcome)
    await healing.database_is_known_to_be_back()
    if plan.reaps_first:
        await healing.close_what_is_left()
    await healing.settle()
    await healing.close_what_is_left()
    await healing.replay_all()


class _Healing:
    def __init__(
        self, plan: Plan, quarter: Quarter, server: Server, client: Client, teams: Sequence[UUID], outcome: Outcome
    ) -> None:
        self._plan, self._quarter, self._server, self._client = plan, quarter, server, client
        self._teams, self._outcome = teams, outcome
        self._until = time.monotonic() + PATIENCE

    async def database_is_known_to_be_back(self) -> None:
        """Ask for the database's health, which closes its breaker: ten seconds would be long in a proof."""
        while (await self._client.send("GET", self._server.url + "/health/database", {}))[0] != 200:
            self._give_up_late("the database is not known to be back")
            await asyncio.sleep(LOOK)

    async def settle(self) -> None:
        """Replay until nothing waits, no model is asked, and no answer is being written."""
        since = time.monotonic()
        while True:
            await self._job("replay")
            asked = any(call.state == "begun" for call in self._quarter.town.model.calls_of(self._plan.seed))
            written = await self._quarter.town.books.streaming(self._plan.seed, self._teams)
            waiting = self._quarter.waiting()
            late = time.monotonic() - since > LEFT_OPEN or self._plan.moves_on
            if not waiting and not asked and (late or not written):
                return
            if late and not asked:  # a turn waits for a retry that a killed server was answering, until that is too old
                await self._quarter.town.books.let_time_pass(self._plan.seed, self._teams)
            self._give_up_late(f"{waiting} still waits, or a model is still asked")
            await asyncio.sleep(LOOK)

    async def close_what_is_left(self) -> None:
        """Let an hour pass, and have the reaper close what servers left open."""
        await self._quarter.town.books.let_time_pass(self._plan.seed, self._teams)
        await self._job("reap")

    async def replay_all(self) -> None:
        """Replay once more; nothing may be left in any place."""
        await self._job("replay")
        if left := self._quarter.waiting():
            self._outcome.finds("lost", f"still in the spool: {left}")

    async def _job(self, name: str) -> Any:
        path = f"{self._server.url}/api/v1/jobs/{name}"
        status, done = await self._client.send("POST", path, _SCHEDULE)
        if status != 200:
            self._outcome.finds("uncaught", f"the job {name} answered {status}: {done}")
        return done

    def _give_up_late(self, what: str) -> None:
        if time.monotonic() > self._until:
            raise TimeoutError(what)
