"""The jobs, as a schedule calls them."""

import asyncio
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.settings import Settings
from lib.store.unfinished import BATCH, LONGEST_TURN
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.web import CRON_SECRET, INTERNAL_KEY, Deploy, Deployment, Rows

REAP = "/api/v1/jobs/reap"
REPLAY = "/api/v1/jobs/replay"
NOTHING = dict.fromkeys(("kept", "known", "answered", "refused", "later", "aside", "left"), 0)
SCHEDULE = {"Authorization": f"Bearer {CRON_SECRET}"}

UNFINISHED = """
    INSERT INTO messages (id, team_id, conversation_id, role, status, parts, created_at)
    SELECT gen_random_uuid(), %s, %s, 'assistant', 'streaming', '[]', now() - make_interval(secs => %s)
    FROM generate_series(1, %s)
"""


async def leave_unfinished(rows: Rows, *, seconds: float, count: int = 1) -> UUID:
    """Add answers that were begun so many seconds ago, and return their conversation."""
    conversation_id = new_id()
    await rows(
        "INSERT INTO conversations (id, team_id, title) VALUES (%s, %s, 'left')", conversation_id, DEFAULT_TEAM_ID
    )
    await rows(UNFINISHED, DEFAULT_TEAM_ID, conversation_id, seconds, count)
    return conversation_id


async def statuses(rows: Rows, conversation_id: UUID) -> dict[str, int]:
    counted = await rows(
        "SELECT status, count(*) AS messages FROM messages WHERE conversation_id = %s GROUP BY 1", conversation_id
    )
    return {row["status"]: row["messages"] for row in counted}


async def reap(parley: Deployment) -> int:
    answer = await parley.client.get(REAP, headers=SCHEDULE)
    assert answer.status_code == 200, answer.text
    return answer.json()["reaped"]


@pytest.fixture
async def nothing_left(rows: Rows) -> None:
    """No answer that other tests have left unfinished."""
    await rows("UPDATE messages SET status = 'interrupted' WHERE status = 'streaming'")


def test_no_turn_lasts_as_long_as_what_is_reaped() -> None:
    (most,) = (limit.le for limit in Settings.model_fields["agent_timeout"].metadata if hasattr(limit, "le"))
    assert LONGEST_TURN.total_seconds() >= most + 60


@pytest.mark.usefixtures("nothing_left")
async def test_what_is_left_unfinished_for_longer_than_any_turn_is_closed(parley: Deployment, rows: Rows) -> None:
    stale = await leave_unfinished(rows, seconds=LONGEST_TURN.total_seconds() + 5)
    at_work = await leave_unfinished(rows, seconds=LONGEST_TURN.total_seconds() - 60)
    assert await reap(parley) == 1
    assert (await statuses(rows, stale), await statuses(rows, at_work)) == ({"interrupted": 1}, {"streaming": 1})
    assert await reap(parley) == 0


@pytest.mark.usefixtures("nothing_left")
async def test_more_than_one_batch_is_closed_in_one_call_and_by_post_as_well(parley: Deployment, rows: Rows) -> None:
    stale = await leave_unfinished(rows, seconds=3600, count=BATCH + 1)
    answer = await parley.client.post(REAP, headers=SCHEDULE)
    assert answer.json() == {"reaped": BATCH + 1}
    assert await statuses(rows, stale) == {"interrupted": BATCH + 1}


@pytest.mark.usefixtures("nothing_left")
async def test_two_at_once_close_each_answer_once(parley: Deployment, rows: Rows) -> None:
    stale = await leave_unfinished(rows, seconds=3600, count=2 * BATCH)
    assert sum(await asyncio.gather(*(reap(parley) for _ in range(4)))) == 2 * BATCH
    assert await statuses(rows, stale) == {"interrupted": 2 * BATCH}


@pytest.mark.usefixtures("nothing_left")
async def test_an_answer_that_somebody_holds_is_passed_over(parley: Deployment, rows: Rows, database_url: str) -> None:
    held, free = [await leave_unfinished(rows, seconds=3600) for _ in range(2)]
    async with await psycopg.AsyncConnection.connect(database_url) as finishing:
        await finishing.execute("SELECT FROM messages WHERE conversation_id = %s FOR UPDATE", [held])
        assert await reap(parley) == 1
    assert (await statuses(rows, held), await statuses(rows, free)) == ({"streaming": 1}, {"interrupted": 1})


@pytest.mark.usefixtures("nothing_left")
async def test_the_count_is_in_the_log(parley: Deployment, rows: Rows, caplog: pytest.LogCaptureFixture) -> None:
    await leave_unfinished(rows, seconds=3600, count=3)
    with caplog.at_level("INFO", "parley.jobs"):
        await reap(parley)
    assert "reaped 3 unfinished answers" in caplog.messages


async def test_what_has_long_been_over_is_deleted(
    parley: Deployment, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    user_id = await parley.sign_up()
    (live,) = await rows("SELECT id FROM sessions WHERE user_id = %s", user_id)
    add = (
        "INSERT INTO sessions (id, team_id, user_id, expires_at, revoked_at)"
        " VALUES (%s, %s, %s, now() + make_interval(days => %s), now() + make_interval(days => %s))"
    )
    expired, revoked, lately = new_id(), new_id(), new_id()
    for session_id, expires, ended in ((expired, -31, None), (revoked, 10, -31), (lately, -29, -29)):
        await rows(add, session_id, DEFAULT_TEAM_ID, user_id, expires, ended)
    await rows("DELETE FROM rate_limits")
    await rows("INSERT INTO rate_limits VALUES ('old', 1, now() - interval '1 hour'), ('new', 1, now())")
    with caplog.at_level("INFO", "parley.jobs"):
        await reap(parley)
    kept = {row["id"] for row in await rows("SELECT id FROM sessions WHERE user_id = %s", user_id)}
    assert kept == {live["id"], lately}
    assert [row["key"] for row in await rows("SELECT key FROM rate_limits")] == ["new"]
    assert {"deleted 2 sessions that are over", "deleted 1 limits that are over"} <= set(caplog.messages)


async def spooled(deploy: Deploy, proxy: PostgresProxy) -> Deployment:
    """Return a Parley where a guest's two turns wait, on a database that is there again."""
    proxy.refuse()
    away = await deploy(DATABASE_URL=proxy.url)
    for _ in range(2):
        assert (await away.ask()).json()["response"]["spooled"] is True
    proxy.heal()
    return await deploy(DATABASE_URL=proxy.url)


async def test_turns_that_wait_are_brought_in_by_get_and_post_and_twice_at_once(
    deploy: Deploy, proxy: PostgresProxy
) -> None:
    parley = await spooled(deploy, proxy)
    answers = await asyncio.gather(*(parley.client.request(how, REPLAY, headers=SCHEDULE) for how in ("GET", "POST")))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert sum(answer.json()["kept"] for answer in answers) == 2
    assert (await parley.client.get(REPLAY, headers=SCHEDULE)).json() == NOTHING


async def test_what_was_set_aside_comes_back_when_the_job_is_told_to(
    deploy: Deploy, proxy: PostgresProxy, tmp_path: Path
) -> None:
    parley = await spooled(deploy, proxy)
    without_key = await deploy(seal_key="another-sealing-key-of-the-tests-0123456789")
    assert (await without_key.client.get(REPLAY, headers=SCHEDULE)).json() == NOTHING | {"aside": 2}
    assert (await parley.client.get(REPLAY, headers=SCHEDULE)).json() == NOTHING
    assert (await parley.client.post(f"{REPLAY}?aside=true", headers=SCHEDULE)).json() == NOTHING | {"kept": 2}
    assert [path for path in (tmp_path / "spool").rglob("*") if path.is_file()] == []


async def test_where_turns_wait_nowhere_there_is_nothing_to_bring_in(deploy: Deploy) -> None:
    parley = await deploy(spool_url="off")
    assert (await parley.client.get(REPLAY, headers=SCHEDULE)).json() == NOTHING


async def test_a_replay_that_finds_nothing_asks_no_database(deploy: Deploy, proxy: PostgresProxy) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    assert (await parley.client.get(REPLAY, headers=SCHEDULE)).json() == NOTHING
    assert proxy.connections == 0


async def test_a_replay_that_cannot_go_on_says_what_is_away(
    deploy: Deploy, proxy: PostgresProxy, tmp_path: Path
) -> None:
    await spooled(deploy, proxy)
    proxy.refuse()
    parley = await deploy(DATABASE_URL=proxy.url)
    answer = await parley.client.get(REPLAY, headers=SCHEDULE)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    (tmp_path / "file").touch()
    parley = await deploy(spool_url=str(tmp_path / "file"))
    answer = await parley.client.get(REPLAY, headers=SCHEDULE)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")


@pytest.mark.parametrize("job", [REAP, REPLAY])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {CRON_SECRET}x"},
        {"Authorization": CRON_SECRET},
        {"Authorization": "Bearer caf\xe9"},
        {"X-Internal-API-Key": INTERNAL_KEY},
    ],
)
async def test_nobody_but_the_schedule_runs_a_job(parley: Deployment, headers: dict[str, str], job: str) -> None:
    encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    refused = await parley.client.get(job, headers=encoded)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


async def test_an_administrator_is_no_schedule(parley: Deployment) -> None:
    await parley.sign_up(role="admin")
    assert (await parley.client.get(REAP)).status_code == 401


async def test_without_a_secret_there_are_no_jobs(deploy: Deploy) -> None:
    parley = await deploy(cron_secret=None)
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer None"}, SCHEDULE):
        assert (await parley.client.get(REAP, headers=headers)).status_code == 404


async def test_a_database_that_is_away_is_told(deploy: Deploy, proxy: PostgresProxy) -> None:
    proxy.refuse()
    parley = await deploy(DATABASE_URL=proxy.url)
    answer = await parley.client.get(REAP, headers=SCHEDULE)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
