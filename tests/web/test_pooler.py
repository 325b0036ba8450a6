"""The product behind a pooler in transaction mode, which gives each transaction another server."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from lib.db.session import POOL_SIZE
from lib.db.tenant import EVERY_TEAM
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.people import Asker, someone
from tests.fixtures.pgbouncer import SERVERS, Pooler
from tests.fixtures.storm import KEEP_ALL, chat_until_served, contents_of, stored, storm, watching
from tests.fixtures.streams import events, told
from tests.fixtures.web import CRON_SECRET, PASSWORD, Deploy, Deployment, Rows

SCHEDULE = {"Authorization": f"Bearer {CRON_SECRET}"}


async def backends(parley: Deployment) -> set[int]:
    """Return the servers that all connections of an instance were given, each a few times."""

    async def ask() -> list[int]:
        async with parley.instance.database.one_statement(EVERY_TEAM) as connection:
            return [
                (await connection.execute(text("SELECT pg_backend_pid() FROM pg_sleep(.01)"))).scalar_one()
                for _ in range(5)
            ]

    pool = range(parley.instance.settings.database_pool_size)
    return {backend for seen in await asyncio.gather(*(ask() for _ in pool)) for backend in seen}


async def test_more_clients_share_fewer_servers(deploy: Deploy, pooler: Pooler) -> None:
    instances = [await deploy(DATABASE_URL=pooler.url) for _ in range(3)]
    seen = set[int]().union(*await asyncio.gather(*map(backends, instances)))
    clients = [client for client in pooler.show("CLIENTS") if client["database"] == "postgres"]
    servers = [server for server in pooler.show("SERVERS") if server["database"] == "postgres"]
    assert len(clients) == 3 * POOL_SIZE
    assert len(seen) == len(servers) == SERVERS
    assert await backends(instances[0]) == seen, "one instance is given both"


async def signed_up(parley: Deployment) -> Asker:
    account = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    made = await parley.client.post("/api/v1/auth/register", json=account)
    assert made.status_code == 201, made.text
    signed_in = await parley.client.post("/api/v1/auth/login", json=account)
    assert signed_in.status_code == 200, signed_in.text
    return Asker(parley.url, None, {"Authorization": f"Bearer {parley.client.cookies['access_token']}"})


async def asked(asker: Asker, method: str, path: str, **more: Any) -> Any:
    answer = await asker.ask(method, path, **more)
    assert answer.status_code in {200, 201, 204}, f"{path} {answer.status_code} {answer.text}"
    return answer.json() if answer.content and answer.headers["content-type"] == "application/json" else answer


async def test_somebody_signs_up_talks_changes_their_mind_finds_it_again_and_takes_it_away(
    deploy: Deploy, pooler: Pooler, openai_double: OpenAIServer
) -> None:
    here, there = await deploy(DATABASE_URL=pooler.url), await deploy(DATABASE_URL=pooler.url)
    me = await signed_up(here)
    elsewhere = me.at(there)
    openai_double.play(*[Script.saying(said) for said in ("Foxes run.", "Foxes sleep.", "Foxes dream.")])
    conversation = (await asked(me, "POST", "/api/v1/conversations", json={}))["id"]
    path = f"/api/v1/conversations/{conversation}"
    first = await asked(me, "POST", f"{path}/messages", json={"content": "What do foxes do?"})
    assert told(events(first.text))["text"] == "Foxes run."
    said = (await asked(elsewhere, "GET", f"{path}/messages"))["messages"]
    assert [message["content"] for message in said] == ["What do foxes do?", "Foxes run."]
    await asked(elsewhere, "POST", f"{path}/messages/{said[0]['id']}/edit", json={"content": "And at night?"})
    latest = (await asked(me, "GET", f"{path}/messages"))["messages"]
    assert [message["content"] for message in latest] == ["And at night?", "Foxes sleep."]
    await asked(me, "POST", f"{path}/messages/{latest[1]['id']}/regenerate")
    assert [each["id"] for each in await asked(elsewhere, "GET", "/conversations")] == [conversation]
    hits = await asked(elsewhere, "GET", "/conversations/search", params={"q": "fox dream"})
    assert [hit["snippet"] for hit in hits] == ["Foxes dream."]
    saved = await asked(me, "GET", f"{path}/export", params={"format": "json"})
    assert (len(saved["messages"]), len(saved["branches"])) == (2, 3)
    assert (await asked(elsewhere, "GET", "/api/v1/auth/me"))["id"]
    await asked(me, "DELETE", path)
    assert (await elsewhere.ask("GET", path)).status_code == 404


async def test_an_answer_is_followed_and_stopped_from_another_instance(
    deploy: Deploy, pooler: Pooler, openai_double: OpenAIServer
) -> None:
    here, there = await deploy(DATABASE_URL=pooler.url), await deploy(DATABASE_URL=pooler.url)
    me = await someone(here)
    conversation = (await asked(me, "POST", "/api/v1/conversations", json={}))["id"]
    path = f"/api/v1/conversations/{conversation}/messages"
    openai_double.play(Script.saying("One two three", stall_at=1))
    sending = asyncio.create_task(me.ask("POST", path, json={"content": "Count"}))
    await openai_double.next_call()
    answer_id = (await asked(me, "GET", path))["messages"][-1]["id"]
    following = asyncio.create_task(me.at(there).ask("GET", f"{path}/{answer_id}/stream"))
    stopped = await asked(me.at(there), "POST", f"{path}/{answer_id}/stop")
    assert stopped["status"] == "stopped"
    assert told(events((await sending).text))["text"] == "One"
    assert told(events((await following).text))["text"] == "One"


async def test_jobs_and_reports_run_twice_at_once(deploy: Deploy, pooler: Pooler) -> None:
    here, there = await deploy(DATABASE_URL=pooler.url), await deploy(DATABASE_URL=pooler.url)
    admin = await someone(here, "admin")
    jobs = ("/api/v1/jobs/reap", "/api/v1/jobs/replay")
    calls = [parley.client.get(job, headers=SCHEDULE) for parley in (here, there) for job in jobs]
    calls += [admin.at(parley).ask("GET", "/metrics/performance") for parley in (here, there)]
    answers = await asyncio.gather(*calls)
    assert [answer.status_code for answer in answers] == [200] * 6, [answer.text for answer in answers]
    assert answers[-1].json()["turns"] is not None
    assert (await asked(admin, "GET", "/health/database"))["status"] == "ok"


async def test_a_wall_and_a_sign_in_hold_on_whichever_server_a_statement_runs(
    deploy: Deploy, pooler: Pooler, rows: Rows
) -> None:
    parley = await deploy(DATABASE_URL=pooler.url)
    people = [await someone(parley) for _ in range(8)]

    async def talk(number: int) -> None:
        me, stranger = people[number], people[number - 1]
        made = (await asked(me, "POST", "/api/v1/conversations", json={}))["id"]
        for _ in range(5):
            assert [each["id"] for each in await asked(me, "GET", "/conversations")] == [made]
            assert (await stranger.ask("GET", f"/conversations/{made}")).status_code == 404

    await asyncio.gather(*(talk(number) for number in range(len(people))))
    (left,) = await rows("SELECT count(*) AS roles FROM pg_stat_activity WHERE state = 'idle in transaction'")
    assert left["roles"] == 0
    async with parley.instance.database.one_statement(EVERY_TEAM) as connection:
        for _ in range(2 * SERVERS):
            kept = "SELECT current_user || coalesce(current_setting('parley.team_id', true), '')"
            assert (await connection.execute(text(kept))).scalar_one() == "postgres", "nothing of a tenant stays behind"


@pytest.mark.alone
async def test_a_storm_behind_it_is_served_and_never_takes_more_servers_than_there_are(
    deploy: Deploy, pooler: Pooler, database_url: str, rows: Rows
) -> None:
    instances = [await deploy(DATABASE_URL=pooler.url, database_pool_size=3, **KEEP_ALL) for _ in range(2)]
    me, tag = await someone(instances[0]), uuid4().hex
    contents = contents_of(tag)[:100]
    async with watching(database_url) as seen:
        halves = (storm(me.at(each), contents[half::2], chat_until_served) for half, each in enumerate(instances))
        answers = [told for half in await asyncio.gather(*halves) for told in half]
    assert [answer.status for answer in answers] == [200] * 100
    assert all(answer.last["saved"] or answer.last["spooled"] for answer in answers)
    assert sum((await stored(rows, tag)).values()) == 100
    assert seen.most <= SERVERS
    assert "idle in transaction" not in seen.states


@pytest.mark.usefixtures("proxy")
async def test_a_pooler_without_a_server_for_us_is_away_within_the_budget_and_found_back(
    deploy: Deploy, pooler: Pooler, database_url: str
) -> None:
    parley = await deploy(DATABASE_URL=pooler.url)
    assert (await parley.ask()).json()["response"]["saved"] is True
    async with PostgresProxy(pooler.url) as between:
        behind = await deploy(DATABASE_URL=between.url)
        assert (await behind.ask()).json()["response"]["saved"] is True
        between.stall()
        async with asyncio.timeout(10):
            answer = (await behind.ask()).json()["response"]
        assert (answer["saved"], answer["status"]) == (False, "success")
        between.heal()
        assert (await behind.client.get("/health/database")).json()["status"] == "ok"
        assert (await behind.ask()).json()["response"]["saved"] is True
