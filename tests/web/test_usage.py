"""Usage: turns, tokens and cost of a time, one's own and a team's."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from lib.ids import new_id
from lib.settings import Price
from lib.store import usage
from tests.fixtures.people import Asker, Found, someone
from tests.fixtures.web import Deploy, Deployment, Rows

DAY = "2026-03-10"
WEEK = {"from": "2026-03-08", "to": "2026-03-14"}


@dataclass(frozen=True)
class Logged:
    """Writes turns as they are kept."""

    rows: Rows
    team_id: UUID

    async def turn(
        self,
        user_id: UUID | None,
        at: str | datetime = f"{DAY} 12:00Z",
        *,
        model: str | None = "model-1",
        agent_id: UUID | None = None,
        tokens: tuple[int | None, int | None] = (100, 10),
        cost: str | None = "0.00012",
        total_ms: int | None = 900,
        times: int = 1,
    ) -> None:
        await self.rows(
            "INSERT INTO interaction_logs (id, team_id, user_id, conversation_id, message_id, model, agent_id, outcome,"
            " input_tokens, output_tokens, cost_usd, total_ms, created_at)"
            " SELECT gen_random_uuid(), %s, %s, gen_random_uuid(), gen_random_uuid(), %s, %s, 'complete', %s, %s, %s,"
            " %s, %s FROM generate_series(1, %s)",
            *(self.team_id, user_id, model, agent_id, *tokens, cost, total_ms, at, times),
        )


@pytest.fixture
def logged(rows: Rows, team_id: UUID) -> Logged:
    return Logged(rows, team_id)


async def asked(asker: Asker, path: str = "", **query: str) -> dict[str, Any]:
    answer = await asker.ask("GET", f"/api/v1/usage{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def group(key: str | None, turns: int, cost: str, *, label: str | None = None, unpriced: int = 0) -> dict[str, Any]:
    return {
        "key": key,
        "label": label,
        "turns": turns,
        "input_tokens": 100 * turns,
        "output_tokens": 10 * turns,
        "cost_usd": cost,
        "turns_without_cost": unpriced,
    }


def totals(turns: int, cost: str, *, unpriced: int = 0) -> dict[str, Any]:
    summed = group(None, turns, cost, unpriced=unpriced)
    return {name: value for name, value in summed.items() if name not in {"key", "label"}}


async def test_one_sees_what_one_used_by_day_and_what_it_cost(parley: Deployment, logged: Logged) -> None:
    one = await someone(parley, team_id=logged.team_id)
    await logged.turn(one.id, "2026-03-08 00:00Z")
    await logged.turn(one.id, "2026-03-10 23:59:59.999Z", times=2)
    await logged.turn(one.id, "2026-03-14 23:59:59.999Z")
    assert await asked(one, **WEEK) == {
        "from": "2026-03-08T00:00:00Z",
        "to": "2026-03-15T00:00:00Z",
        "totals": totals(4, "0.00048000"),
        "groups": [
            group("2026-03-08", 1, "0.00012000"),
            group("2026-03-10", 2, "0.00024000"),
            group("2026-03-14", 1, "0.00012000"),
        ],
        "groups_left_out": 0,
    }


async def test_what_is_outside_of_the_time_does_not_count(parley: Deployment, logged: Logged) -> None:
    one = await someone(parley, team_id=logged.team_id)
    await logged.turn(one.id, "2026-03-07 23:59:59.999Z")
    await logged.turn(one.id, "2026-03-15 00:00Z")
    told = await asked(one, **WEEK)
    assert (told["totals"], told["groups"]) == (totals(0, "0.00000000"), [])


async def test_a_moment_is_where_a_time_begins_and_ends(parley: Deployment, logged: Logged) -> None:
    one = await someone(parley, team_id=logged.team_id)
    for at in ("11:59:59.999Z", "12:00Z", "12:59:59.999Z", "13:00Z"):
        await logged.turn(one.id, f"{DAY} {at}")
    told = await asked(one, **{"from": f"{DAY}T12:00:00Z", "to": f"{DAY}T14:00:00+01:00"})
    assert (told["from"], told["to"]) == (f"{DAY}T12:00:00Z", f"{DAY}T13:00:00Z")
    assert told["totals"]["turns"] == 2
    naive = await asked(one, **{"from": f"{DAY}T12:00", "to": f"{DAY}T13:00"})
    assert naive == told


async def test_without_a_time_the_last_thirty_days_count(parley: Deployment, logged: Logged) -> None:
    one = await someone(parley, team_id=logged.team_id)
    now = datetime.now(UTC)
    await logged.turn(one.id, now - timedelta(days=30, minutes=-1))
    await logged.turn(one.id, now - timedelta(days=30, minutes=1))
    told = await asked(one)
    assert told["totals"]["turns"] == 1
    assert datetime.fromisoformat(told["to"]) - datetime.fromisoformat(told["from"]) == timedelta(days=30)
    assert (await asked(one, to=DAY))["from"] == "2026-02-09T00:00:00Z"


async def test_a_cost_that_nobody_knows_is_told_and_is_no_zero(parley: Deployment, logged: Logged) -> None:
    one = await someone(parley, team_id=logged.team_id)
    await logged.turn(one.id, cost="0.00000005")
    await logged.turn(one.id, model="llama", cost=None, times=2)
    await logged.turn(one.id, model="free", cost="0")
    told = await asked(one, **WEEK, group="model")
    assert told["totals"] == totals(4, "0.00000005", unpriced=2)
    assert told["groups"] == [
        group("llama", 2, "0.00000000", unpriced=2),
        group("free", 1, "0.00000000"),
        group("model-1", 1, "0.00000005"),
    ]


async def test_turns_without_tokens_or_a_model_are_counted(parley: Deployment, logged: Logged) -> None:
    one = await someone(parley, team_id=logged.team_id)
    await logged.turn(one.id, model=None, tokens=(None, None), cost=None)
    told = await asked(one, **WEEK, group="model")
    assert told["groups"] == [
        {**group(None, 1, "0.00000000", unpriced=1), "input_tokens": 0, "output_tokens": 0},
    ]
    assert told["totals"]["input_tokens"] == 0


async def test_what_was_had_elsewhere_is_no_turn(parley: Deployment, logged: Logged) -> None:
    one = await someone(parley, team_id=logged.team_id)
    await logged.turn(one.id, tokens=(None, None), cost=None, total_ms=None)
    assert (await asked(one, **WEEK))["totals"]["turns"] == 0


async def test_agents_are_named_those_that_are_deleted_too(parley: Deployment, logged: Logged, rows: Rows) -> None:
    one = await someone(parley, team_id=logged.team_id)
    agent_id, nobody = new_id(), new_id()
    await rows(
        "INSERT INTO agents (id, team_id, name, kind, deleted_at) VALUES (%s, %s, 'Support Bot', 'model', now())",
        *(agent_id, logged.team_id),
    )
    await logged.turn(one.id, agent_id=agent_id, times=3)
    await logged.turn(one.id, times=2)
    await logged.turn(one.id, agent_id=nobody)
    assert (await asked(one, **WEEK, group="agent"))["groups"] == [
        group(str(agent_id), 3, "0.00036000", label="Support Bot"),
        group(None, 2, "0.00024000"),
        group(str(nobody), 1, "0.00012000"),
    ]


async def test_an_administrator_sees_the_teams_by_user_too(parley: Deployment, logged: Logged) -> None:
    admin = await someone(parley, "admin", team_id=logged.team_id)
    one = await someone(parley, team_id=logged.team_id)
    gone = new_id()
    await logged.turn(one.id, times=4)
    await logged.turn(admin.id, times=3)
    await logged.turn(None, times=2)
    await logged.turn(gone)
    assert await asked(admin, "/team", **WEEK, group="user") == {
        "from": "2026-03-08T00:00:00Z",
        "to": "2026-03-15T00:00:00Z",
        "totals": totals(10, "0.00120000"),
        "groups": [
            group(str(one.id), 4, "0.00048000", label=f"{one.id}@example.com"),
            group(str(admin.id), 3, "0.00036000", label=f"{admin.id}@example.com"),
            group(None, 2, "0.00024000"),
            group(str(gone), 1, "0.00012000"),
        ],
        "groups_left_out": 0,
    }
    assert (await asked(admin, **WEEK))["totals"]["turns"] == 3
    assert (await asked(admin, "/team", **WEEK))["groups"] == [group(DAY, 10, "0.00120000")]


async def test_nobody_sees_what_others_used(parley: Deployment, logged: Logged, found: Found) -> None:
    one = await someone(parley, team_id=logged.team_id)
    other_team = await found()
    await logged.turn(one.id)
    await Logged(logged.rows, other_team).turn(one.id)
    teammate = await someone(parley, team_id=logged.team_id)
    stranger = await someone(parley, "admin", team_id=other_team)
    assert (await asked(one, **WEEK))["totals"]["turns"] == 1
    assert (await asked(teammate, **WEEK))["totals"]["turns"] == 0
    assert (await asked(stranger, **WEEK))["totals"]["turns"] == 0
    assert (await asked(stranger, "/team", **WEEK))["totals"]["turns"] == 1
    refused = await teammate.ask("GET", "/api/v1/usage/team")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_of_very_many_groups_those_with_most_turns_are_told(
    parley: Deployment, logged: Logged, rows: Rows
) -> None:
    admin = await someone(parley, "admin", team_id=logged.team_id)
    await rows(
        "INSERT INTO interaction_logs (id, team_id, user_id, conversation_id, message_id, outcome, total_ms,"
        " created_at) SELECT gen_random_uuid(), %s, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),"
        " 'complete', 1, %s"
        " FROM generate_series(1, %s)",
        *(logged.team_id, f"{DAY} 12:00Z", usage.MOST_GROUPS + 4),
    )
    await logged.turn(admin.id, times=2)
    told = await asked(admin, "/team", **WEEK, group="user")
    assert (len(told["groups"]), told["groups_left_out"]) == (usage.MOST_GROUPS, 5)
    assert told["groups"][0]["key"] == str(admin.id)
    assert told["totals"]["turns"] == usage.MOST_GROUPS + 6


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"from": "yesterday"}, "it is no day such as 2026-01-31, and no time such as 2026-01-31T12:00:00Z"),
        ({"to": ""}, "it is no day such as 2026-01-31"),
        ({"to": "1767225600"}, "it is no day such as 2026-01-31"),
        ({"from": "2026-02-30"}, "it is no day such as 2026-01-31"),
        ({"to": "0001-01-01T00:00:00+14:00"}, "it is no day such as 2026-01-31"),
        ({"to": "0001-01-01"}, "it is no time that anybody can count from"),
        ({"from": "9999-12-31", "to": "9999-12-31"}, "it is no time that anybody can count from"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "`from` has to be before `to`"),
        ({"from": f"{DAY}T12:00:00Z", "to": f"{DAY}T12:00:00Z"}, "`from` has to be before `to`"),
        ({"from": "2999-01-01"}, "`from` has to be before `to`"),
        ({"from": "2025-01-01", "to": "2026-01-02"}, "it is longer than 366 days"),
        ({"group": "week"}, "Input should be 'day', 'model'"),
        ({"since": DAY}, "Extra inputs are not permitted"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/usage", "/api/v1/usage/team"])
async def test_a_time_that_is_none_is_refused_and_said_why(
    parley: Deployment, team_id: UUID, path: str, query: dict[str, str], why: str
) -> None:
    admin = await someone(parley, "admin", team_id=team_id)
    refused = await admin.ask("GET", path, params=query)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    (fault,) = refused.json()["detail"]
    assert why in fault["msg"]


async def test_a_year_and_a_day_is_not_too_long(parley: Deployment, team_id: UUID) -> None:
    one = await someone(parley, team_id=team_id)
    told = await asked(one, **{"from": "2024-01-01", "to": "2024-12-31"})
    assert (told["from"], told["to"]) == ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z")


async def test_only_a_team_is_told_by_user(parley: Deployment, team_id: UUID) -> None:
    one = await someone(parley, "admin", team_id=team_id)
    assert (await one.ask("GET", "/api/v1/usage", params={"group": "user"})).status_code == 422
    assert (await one.ask("GET", "/api/v1/usage/team", params={"group": "user"})).status_code == 200


async def test_a_turn_is_kept_with_what_it_cost(deploy: Deploy, team_id: UUID) -> None:
    parley = await deploy(chat_model="gpt-4.1-mini-2025-04-14")
    await parley.sign_up(team_id=team_id)
    assert (await parley.ask()).status_code == 200
    assert (await parley.stream())[-1]["status"] == "success"
    told = (await parley.client.get("/api/v1/usage", params={"group": "model"})).json()
    assert told["totals"] == {
        "turns": 2,
        "input_tokens": 24,
        "output_tokens": 8,
        "cost_usd": "0.00002240",
        "turns_without_cost": 0,
    }
    assert [each["key"] for each in told["groups"]] == ["gpt-4.1-mini-2025-04-14"]


async def test_a_turn_costs_what_the_operator_pays(deploy: Deploy, team_id: UUID) -> None:
    parley = await deploy(model_prices={"double-1": Price(Decimal(1000), Decimal(2000))})
    await parley.sign_up(team_id=team_id)
    await parley.ask()
    assert (await parley.client.get("/api/v1/usage")).json()["totals"]["cost_usd"] == "0.02000000"


async def test_a_turn_of_a_model_without_a_price_is_kept_without_a_cost(deploy: Deploy, team_id: UUID) -> None:
    parley = await deploy()
    await parley.sign_up(team_id=team_id)
    await parley.ask()
    totals = (await parley.client.get("/api/v1/usage")).json()["totals"]
    assert (totals["turns"], totals["cost_usd"], totals["turns_without_cost"]) == (1, "0.00000000", 1)
