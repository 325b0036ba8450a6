"""One seed, from its first question to the last line of its account."""

import asyncio
import time
from pathlib import Path
from typing import Final
from uuid import UUID

from lib.ids import DEFAULT_TEAM_ID
from tests.chaos.calls import count_calls
from tests.chaos.client import Client
from tests.chaos.findings import Outcome
from tests.chaos.healing import heal
from tests.chaos.ledger import Ledger
from tests.chaos.plan import Plan, Who, draw
from tests.chaos.process import Server
from tests.chaos.reconcile import reconcile
from tests.chaos.town import Quarter
from tests.chaos.traffic import Talker
from tests.chaos.weather import Weather
from tests.chaos.witness import check_log, check_statuses
from tests.fixtures.people import Asker, someone

LONGEST: Final = 60.0
"""Seconds after which a seed is stuck."""


async def run_seed(seed: int, quarter: Quarter, folder: Path) -> Outcome:
    """Do all that is drawn for a seed, heal, and compare. Whatever goes wrong on the way is a finding."""
    outcome, began = Outcome(seed), time.monotonic()
    try:
        async with asyncio.timeout(LONGEST):
            await _run(draw(seed), quarter, folder, outcome)
    except Exception as error:  # whatever it is, the seed has not passed
        outcome.finds("uncaught", f"the proof itself: {type(error).__name__} {error}")
    outcome.seconds = time.monotonic() - began
    return outcome


async def _run(plan: Plan, quarter: Quarter, folder: Path, outcome: Outcome) -> None:
    for injector in quarter.injectors.values():
        injector.forget()
    server = Server(quarter.town.forge, quarter.environment(folder, disconnect=plan.disconnect), folder)
    askers, teams = await _people(plan.seed, quarter)
    ledger = Ledger(plan.seed)
    client = Client(ledger.heard_a_last_word)
    weather = Weather(plan, quarter, server, ledger, teams, outcome)
    await server.start()
    try:
        talking = [Talker(talk, *askers[talk.who], lambda: server.url, client, ledger).run() for talk in plan.talks]
        await weather.during(asyncio.gather(*talking))
        await heal(plan, quarter, server, client, teams, outcome)
    finally:
        await client.close()
        await server.end()
    stored = await quarter.town.books.read(plan.seed, teams)
    calls = quarter.town.model.calls_of(plan.seed)
    since = quarter.injectors["database"].since
    gentle = not server.killed and since is None and quarter.injectors["storage"].since is None
    reconcile(ledger, stored, calls, outcome, troubled_since=since, gentle=gentle)
    count_calls(ledger, calls, quarter.injectors["provider"].harmed, outcome, troubled_since=since)
    outcome.story += [*(f"fault: {fault}" for fault in plan.faults), *ledger.story()]
    check_statuses(ledger, outcome)
    check_log(server.lines(), outcome, told_to_end=server.told_to_end)


async def _people(seed: int, quarter: Quarter) -> tuple[dict[Who, tuple[Asker, UUID]], list[UUID]]:
    """Make two teams with somebody in each, and return them and a guest; the teams besides."""
    books, register = quarter.town.books, quarter.town.register
    teams = [await books.found_team(f"seed-{seed}-{name}") for name in ("one", "other")]
    user, other = [await someone(register, team_id=team_id) for team_id in teams]
    return {"user": (user, teams[0]), "other": (other, teams[1]), "guest": (Asker(""), DEFAULT_TEAM_ID)}, teams
