"""Metrics: an administrator's own team in numbers, and with the internal key everybody's."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from lib.auth.identity import Identity
from lib.ids import DEFAULT_TEAM_ID, new_id
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.web import INTERNAL_KEY, Deploy, Deployment, Rows

AS_A_SERVER = {"X-Internal-API-Key": INTERNAL_KEY}
NO_BUCKET = {"S3_ENDPOINT": "http://127.0.0.1:9", "s3_bucket": "bucket"}
REPORTS = ("performance", "users", "workspaces", "chats")
ROUTES = tuple(f"/metrics/{name}" for name in (*REPORTS, "prometheus"))


@dataclass
class Team:
    """A team of the test's own, and what its people did."""

    rows: Rows
    id: UUID = field(default_factory=new_id)

    async def user(self, *, days_ago: float = 0) -> UUID:
        user_id = new_id()
        await self.rows(
            "INSERT INTO users (id, team_id, email, password_hash, created_at)"
            " VALUES (%s, %s, %s, '-', now() - make_interval(secs => %s))",
            *(user_id, self.id, f"{user_id}@example.com", days_ago * 86400),
        )
        return user_id

    async def workspace(self, *, archived: bool = False) -> UUID:
        workspace_id = new_id()
        await self.rows(
            "INSERT INTO workspaces (id, team_id, name, archived_at) VALUES (%s, %s, 'A private name', %s)",
            *(workspace_id, self.id, datetime.now(UTC) if archived else None),
        )
        return workspace_id

    async def member(self, workspace_id: UUID, user_id: UUID, role: str) -> None:
        await self.rows(
            "INSERT INTO workspace_members (workspace_id, user_id, team_id, role) VALUES (%s, %s, %s, %s)",
            *(workspace_id, user_id, self.id, role),
        )

    async def conversation(self, user_id: UUID | None, *, messages: int = 0, workspace_id: UUID | None = None) -> None:
        conversation_id = new_id()
        await self.rows(
            "INSERT INTO conversations (id, team_id, user_id, title, workspace_id) VALUES (%s, %s, %s, 'Private', %s)",
            *(conversation_id, self.id, user_id, workspace_id),
        )
        await self.rows(
            "INSERT INTO messages (id, team_id, conversation_id, role, status, parts)"
            " SELECT gen_random_uuid(), %s, %s, 'user', 'complete', '[]' FROM generate_series(1, %s)",
            *(self.id, conversation_id, messages),
        )

    async def turn(
        self,
        *,
        seconds_ago: float = 0,
        user_id: UUID | None = None,
        times: int = 1,
        model: str | None = "model-1",
        outcome: str = "complete",
        error_code: str | None = None,
        tokens: tuple[int | None, int | None] = (100, 10),
        first_token_ms: int | None = 200,
        total_ms: int | None = 1500,
    ) -> None:
        """Log a turn that ended so long ago, or several."""
        await self.rows(
            "INSERT INTO interaction_logs (id, team_id, user_id, conversation_id, message_id, model, outcome,"
            " error_code, input_tokens, output_tokens, first_token_ms, total_ms, created_at)"
            " SELECT gen_random_uuid(), %s, %s, gen_random_uuid(), gen_random_uuid(), %s, %s, %s, %s, %s, %s, %s,"
            " now() - make_interval(secs => %s) FROM generate_series(1, %s)",
            *(self.id, user_id, model, outcome, error_code, *tokens, first_token_ms, total_ms, seconds_ago, times),
        )


@pytest.fixture
async def team(rows: Rows) -> AsyncGenerator[Team]:
    """A team that nobody has."""
    made = Team(rows)
    await rows("INSERT INTO teams (id, name, slug) VALUES (%s, 'Team', %s)", made.id, str(made.id))
    yield made
    await rows("DELETE FROM teams WHERE id = %s", made.id)


@pytest.fixture
async def parley(deploy: Deploy) -> Deployment:
    return await deploy(**NO_BUCKET)


async def told(parley: Deployment, name: str, **headers: str) -> dict[str, Any]:
    answer = await parley.client.get(f"/metrics/{name}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def scraped(parley: Deployment, **headers: str) -> dict[str, Metric]:
    answer = await parley.client.get("/metrics/prometheus", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return {metric.name: metric for metric in text_string_to_metric_families(answer.text)}


def samples(metric: Metric) -> dict[tuple[str, ...], float]:
    """Return the values by the labels' values, in the order of the labels' names."""
    return {tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in metric.samples}


@pytest.mark.parametrize("path", ROUTES)
async def test_a_guest_and_a_user_are_told_nothing(parley: Deployment, path: str) -> None:
    guest = await parley.client.get(path)
    assert (guest.status_code, guest.json()["code"]) == (401, "unauthenticated")
    await parley.sign_up()
    user = await parley.client.get(path)
    assert (user.status_code, user.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ROUTES)
async def test_one_whose_role_was_taken_away_is_told_nothing_more(
    parley: Deployment, rows: Rows, team: Team, path: str
) -> None:
    user_id = await parley.sign_up(role="admin", team_id=team.id)
    assert (await parley.client.get(path)).status_code == 200
    await rows("UPDATE users SET role = 'user' WHERE id = %s", user_id)
    refused = await parley.client.get(path)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ROUTES)
async def test_an_administrator_of_a_team_that_is_off_is_told_nothing(
    parley: Deployment, rows: Rows, team: Team, path: str
) -> None:
    await parley.sign_up(role="admin", team_id=team.id)
    await rows("UPDATE teams SET is_active = false WHERE id = %s", team.id)
    assert (await parley.client.get(path)).status_code == 401


async def test_no_administrator_is_told_another_teams_numbers_and_the_internal_key_is_told_all(
    parley: Deployment, team: Team, rows: Rows
) -> None:
    await parley.sign_up(role="admin", team_id=team.id)
    before = {name: await told(parley, name, **AS_A_SERVER) for name in REPORTS}
    ours = {name: await told(parley, name) for name in REPORTS}
    scrape = await scraped(parley)
    other = Team(rows)
    await rows("INSERT INTO teams (id, name, slug) VALUES (%s, 'Other', %s)", other.id, str(other.id))
    user_id, workspace_id = await other.user(), await other.workspace()
    await other.member(workspace_id, user_id, "OWNER")
    await other.conversation(user_id, messages=3, workspace_id=workspace_id)
    await other.turn(user_id=user_id, model="model-of-the-others")
    assert {name: _counts(await told(parley, name)) for name in REPORTS} == {
        name: _counts(report) for name, report in ours.items()
    }
    assert samples((await scraped(parley))["parley_turns"]) == samples(scrape["parley_turns"]) == {}
    after = {name: await told(parley, name, **AS_A_SERVER) for name in REPORTS}
    assert after["users"]["total"] == before["users"]["total"] + 1
    assert after["workspaces"]["total"] == before["workspaces"]["total"] + 1
    assert after["chats"]["messages"]["total"] == before["chats"]["messages"]["total"] + 3
    assert after["performance"]["turns"]["1h"]["turns"] == before["performance"]["turns"]["1h"]["turns"] + 1
    everybody = samples((await scraped(parley, **AS_A_SERVER))["parley_turns"])
    assert everybody["model-of-the-others", "complete"] == 1
    await rows("DELETE FROM teams WHERE id = %s", other.id)


def _counts(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name != "system"}


async def test_performance_is_of_this_machine_and_of_the_turns_in_three_windows(parley: Deployment, team: Team) -> None:
    for total_ms in (1000, 2000, 3000):
        await team.turn(total_ms=total_ms, first_token_ms=total_ms // 10)
    await team.turn(outcome="failed", total_ms=90_000, first_token_ms=None, tokens=(None, None))
    await team.turn(seconds_ago=7200, outcome="interrupted", total_ms=50)
    await team.turn(seconds_ago=3 * 86400)
    await team.turn(seconds_ago=8 * 86400)
    await team.turn(total_ms=None, model=None)  # as internal-save logs it: no turn of ours
    await parley.sign_up(role="admin", team_id=team.id)
    report = await told(parley, "performance")
    assert report["turns"]["1h"] == {
        "turns": 4,
        "failed": 1,
        "interrupted": 0,
        "error_rate": 0.25,
        "input_tokens": 300,
        "output_tokens": 30,
        "first_token_ms": {"p50": 200, "p95": 290},
        "total_ms": {"p50": 2000, "p95": 2900},
    }
    assert [report["turns"][window]["turns"] for window in ("24h", "7d")] == [5, 6]
    assert report["turns_error"] is None
    system = report["system"]
    assert 0 <= system["cpu"]["percent"] <= 100
    assert system["memory"]["total_bytes"] > system["memory"]["available_bytes"] > 0
    assert system["memory"]["process_bytes"] > 10_000_000
    assert system["disk"]["total_bytes"] >= system["disk"]["free_bytes"] > 0


async def test_a_team_without_turns_has_no_rates(parley: Deployment, team: Team) -> None:
    await parley.sign_up(role="admin", team_id=team.id)
    hour = (await told(parley, "performance"))["turns"]["1h"]
    assert (hour["turns"], hour["error_rate"], hour["total_ms"]) == (0, None, {"p50": None, "p95": None})
    chats = await told(parley, "chats")
    assert (chats["average_messages"], chats["turns"]["average_output_tokens"]) == (None, None)
    assert (await told(parley, "workspaces"))["average_members"] is None


async def test_users_are_counted_by_role_by_age_and_by_whether_they_chat(
    parley: Deployment, team: Team, rows: Rows
) -> None:
    await parley.sign_up(role="admin", team_id=team.id)
    old, older = await team.user(days_ago=5), await team.user(days_ago=400)
    away = await team.user(days_ago=20)
    await rows("UPDATE users SET is_active = false WHERE id = %s", away)
    for user_id, days in ((old, 0.5), (old, 2), (older, 6), (away, 29), (new_id(), 0), (None, 0)):
        await team.turn(user_id=user_id, seconds_ago=days * 86400)
    assert await told(parley, "users") == {
        "total": 4,
        "enabled": 3,
        "by_role": {"user": 3, "admin": 1},
        "active": {"1d": 1, "7d": 2, "30d": 3},
        "new": {"1d": 1, "7d": 2, "30d": 3},
    }


async def test_workspaces_are_counted_with_their_members_and_conversations(parley: Deployment, team: Team) -> None:
    admin = await parley.sign_up(role="admin", team_id=team.id)
    one, two = await team.workspace(), await team.workspace(archived=True)
    guest = await team.user()
    for workspace_id, user_id, role in ((one, admin, "OWNER"), (one, guest, "GUEST"), (two, admin, "MEMBER")):
        await team.member(workspace_id, user_id, role)
    await team.conversation(admin, workspace_id=one)
    await team.conversation(admin)
    assert await told(parley, "workspaces") == {
        "total": 2,
        "archived": 1,
        "new_30d": 2,
        "members": 2,
        "memberships": {"OWNER": 1, "MEMBER": 1, "GUEST": 1},
        "conversations": 1,
        "average_members": 1.5,
    }


async def test_chats_are_counted_as_kept_and_turns_for_each_of_fourteen_days(parley: Deployment, team: Team) -> None:
    admin = await parley.sign_up(role="admin", team_id=team.id)
    await team.conversation(admin, messages=4)
    await team.conversation(None, messages=2)
    await team.turn(tokens=(100, 20))
    await team.turn(outcome="failed", model=None, tokens=(None, None))
    await team.turn(seconds_ago=13 * 86400, outcome="interrupted", model="model-2", tokens=(200, 40))
    await team.turn(seconds_ago=15 * 86400)
    report = await told(parley, "chats")
    assert report["conversations"] == {"total": 2, "of_users": 1, "of_guests": 1, "in_workspaces": 0}
    assert (report["messages"], report["average_messages"]) == ({"total": 6, "streaming": 0}, 3.0)
    turns = report["turns"]
    assert (turns["total"], turns["by_outcome"]) == (
        3,
        {"complete": 1, "stopped": 0, "failed": 1, "interrupted": 1},
    )
    assert turns["by_model"] == {"model-1": 1, "model-2": 1, "none": 1}
    assert (turns["average_input_tokens"], turns["average_output_tokens"]) == (150, 30)
    today = datetime.now(UTC).date()
    assert [day["day"] for day in turns["per_day"]] == [str(today - timedelta(days=ago)) for ago in range(13, -1, -1)]
    assert [(day["turns"], day["failed"], day["interrupted"]) for day in turns["per_day"]] == [
        (1, 0, 1),
        *[(0, 0, 0)] * 12,
        (2, 1, 0),
    ]


@pytest.mark.parametrize("name", REPORTS)
async def test_no_report_holds_a_text_of_anybody(parley: Deployment, team: Team, name: str) -> None:
    user_id = await parley.sign_up(role="admin", team_id=team.id)
    await team.conversation(user_id, messages=1, workspace_id=await team.workspace())
    answer = (await parley.client.get(f"/metrics/{name}")).text
    assert [private for private in ("rivate", "example.com", str(user_id), str(team.id)) if private in answer] == []


async def test_a_real_turn_is_counted(parley: Deployment, team: Team) -> None:
    await parley.sign_up(role="admin", team_id=team.id)
    assert (await parley.ask()).json()["response"]["saved"] is True
    hour = (await told(parley, "performance"))["turns"]["1h"]
    assert (hour["turns"], hour["input_tokens"], hour["output_tokens"]) == (1, 12, 4)
    assert samples((await scraped(parley))["parley_turns"]) == {("double-1", "complete"): 1}


async def test_a_prometheus_reads_the_turns_of_today_as_counters_and_histograms(parley: Deployment, team: Team) -> None:
    await parley.sign_up(role="admin", team_id=team.id)
    await team.turn(first_token_ms=100, total_ms=500)
    await team.turn(first_token_ms=101, total_ms=501)
    await team.turn(first_token_ms=None, total_ms=400_000, outcome="failed", error_code="provider_timeout")
    await team.turn(first_token_ms=300_001, total_ms=300_001)
    await team.turn(seconds_ago=86400)
    metrics = await scraped(parley)
    assert (metrics["parley_turns"].type, metrics["parley_turn_seconds"].type) == ("counter", "histogram")
    assert samples(metrics["parley_turns"]) == {("model-1", "complete"): 3, ("model-1", "failed"): 1}
    assert samples(metrics["parley_tokens"]) == {("input", "model-1"): 400, ("output", "model-1"): 40}
    assert samples(metrics["parley_turn_errors"]) == {("provider_timeout", "model-1"): 1}
    first = {
        sample.labels.get("le", sample.name): sample.value for sample in metrics["parley_first_token_seconds"].samples
    }
    assert (first["0.1"], first["0.25"], first["300.0"], first["+Inf"]) == (1, 2, 2, 3)
    assert (first["parley_first_token_seconds_count"], first["parley_first_token_seconds_sum"]) == (3, 300.202)
    total = {sample.labels.get("le", sample.name): sample.value for sample in metrics["parley_turn_seconds"].samples}
    assert (total["0.5"], total["1.0"], total["+Inf"]) == (1, 2, 3)


async def test_models_beyond_the_first_twenty_of_the_day_are_one_series(parley: Deployment, team: Team) -> None:
    await parley.sign_up(role="admin", team_id=team.id)
    await team.turn(model="late-model", seconds_ago=86400)
    for number in range(23):
        await team.turn(model=f"model-{number:02}", times=1 + number // 20)
    await team.turn(model="late-model")
    turns = samples((await scraped(parley))["parley_turns"])
    assert len(turns) == 21
    assert (turns["other", "complete"], turns["model-00", "complete"]) == (7, 1)


async def test_no_counter_goes_down_when_one_model_overtakes_another(parley: Deployment, team: Team) -> None:
    await parley.sign_up(role="admin", team_id=team.id)
    for number in range(20):
        await team.turn(model=f"model-{number:02}", times=100)
    await team.turn(model="model-20", times=99, tokens=(1000, 100))
    before = await scraped(parley)
    await team.turn(model="model-20", times=2)
    after = await scraped(parley)
    for name in ("parley_turns", "parley_tokens", "parley_first_token_seconds", "parley_turn_seconds"):
        was, is_now = samples(before[name]), samples(after[name])
        assert was.keys() == is_now.keys()
        assert [labels for labels in was if is_now[labels] < was[labels]] == []
    assert samples(after["parley_turns"])["other", "complete"] == 101


async def test_a_label_is_written_as_the_format_wants_it(parley: Deployment, team: Team) -> None:
    await parley.sign_up(role="admin", team_id=team.id)
    await team.turn(model='od"d\nmo\\del é')
    assert samples((await scraped(parley))["parley_turns"]) == {('od"d\nmo\\del é', "complete"): 1}


async def test_a_scrape_tells_how_everything_is_and_which_instance_answered(parley: Deployment) -> None:
    metrics = await scraped(parley, **AS_A_SERVER)
    up = samples(metrics["parley_dependency_up"])
    assert up == {("database",): 1, ("storage",): 0, ("inference",): 1, ("inference/openai",): 1}
    assert samples(metrics["parley_dependency_degraded"])["database",] == 0
    assert samples(metrics["parley_dependency_latency_seconds"])["database",] > 0
    assert samples(metrics["parley_turns_counted"]) == {(): 1}
    assert samples(metrics["parley_instance_memory_bytes"])[()] > 10_000_000
    assert metrics["parley_instance"].samples[0].labels["platform"] == "other"


async def test_a_scrape_of_the_deployment_tells_what_waits_in_the_spool_and_a_teams_does_not(
    deploy: Deploy, proxy: PostgresProxy, tmp_path: Path
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url, spool_max_records=2, spool_max_mb=1)
    await parley.sign_up(role="admin")
    assert [name for name in await scraped(parley) if "spool" in name] == []
    assert samples((await scraped(parley, **AS_A_SERVER))["parley_spool_records"]) == {("waiting",): 0, ("aside",): 0}
    proxy.refuse()
    asked = [(await parley.ask()).json()["response"]["spooled"] for _ in range(3)]
    assert asked == [True, True, False]
    parley.instance.spool.room.changed()  # pyright: ignore[reportOptionalMemberAccess]
    metrics = await scraped(parley, **AS_A_SERVER)
    assert samples(metrics["parley_spool_records"]) == {("waiting",): 2, ("aside",): 0}
    size = sum(path.stat().st_size for path in (tmp_path / "spool").rglob("*") if path.is_file())
    assert samples(metrics["parley_spool_bytes"]) == {("waiting",): size, ("aside",): 0}
    limits = [samples(metrics[f"parley_spool_limit_{unit}"]) for unit in ("records", "bytes")]
    assert limits == [{(): 2}, {(): 1_000_000}]
    here = samples(metrics["parley_instance_spool_turns"])
    assert (here["spooled",], here["full",], here["unwritable",], here["kept",]) == (2, 1, 0, 0)


async def test_what_waits_in_storage_that_is_away_is_left_out(parley: Deployment) -> None:
    metrics = await scraped(parley, **AS_A_SERVER)
    assert "parley_spool_records" not in metrics
    assert samples(metrics["parley_spool_limit_records"]) == {(): 10_000}


async def test_while_the_database_is_away_a_scrape_and_the_machines_numbers_are_still_answered(
    deploy: Deploy, proxy: PostgresProxy
) -> None:
    proxy.refuse()
    parley = await deploy(DATABASE_URL=proxy.url, **NO_BUCKET)
    metrics = await scraped(parley, **AS_A_SERVER)
    assert samples(metrics["parley_turns_counted"]) == {(): 0}
    assert samples(metrics["parley_dependency_up"])["database",] == 0
    assert "parley_turns" not in metrics
    report = await told(parley, "performance", **AS_A_SERVER)
    assert (report["turns"], report["turns_error"]) == (None, "database_unavailable")
    assert report["system"]["memory"]["total_bytes"] > 0
    for name in ("users", "workspaces", "chats"):
        answer = await parley.client.get(f"/metrics/{name}", headers=AS_A_SERVER)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


@pytest.mark.parametrize("path", ROUTES)
async def test_while_it_cannot_be_asked_whether_one_is_an_admin_nothing_is_told(
    deploy: Deploy, proxy: PostgresProxy, path: str
) -> None:
    proxy.refuse()
    parley = await deploy(DATABASE_URL=proxy.url, **NO_BUCKET)
    token = parley.instance.signer.sign(Identity(new_id(), DEFAULT_TEAM_ID, "admin", new_id()))
    answer = await parley.client.get(path, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


@pytest.mark.parametrize("path", ["/metrics/performance", "/metrics/prometheus"])
async def test_a_report_that_is_too_long_to_tell_whether_one_is_an_admin_is_refused(
    parley: Deployment, team: Team, database_url: str, path: str
) -> None:
    await parley.sign_up(role="admin", team_id=team.id)
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("LOCK TABLE users")  # for which every report then waits until its time is over
        refused, internal = await asyncio.gather(parley.client.get(path), parley.client.get(path, headers=AS_A_SERVER))
    assert (refused.status_code, refused.json()["code"]) == (503, "report_too_long")
    assert internal.status_code == 200


async def test_a_guests_turns_of_the_default_team_are_that_teams(parley: Deployment) -> None:
    await parley.sign_up(role="admin", team_id=DEFAULT_TEAM_ID)
    before = (await told(parley, "chats"))["conversations"]["of_guests"]
    parley.client.cookies.clear()
    await parley.ask()
    await parley.sign_up(role="admin", team_id=DEFAULT_TEAM_ID)
    assert (await told(parley, "chats"))["conversations"]["of_guests"] == before + 1
