"""Turns that the database could not take: where they wait, what is said of them, and that they come in once."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.people import someone
from tests.fixtures.streams import events
from tests.fixtures.web import CRON_SECRET, Deploy, Deployment, Rows, question

AS_THE_SCHEDULE = {"Authorization": f"Bearer {CRON_SECRET}"}


@dataclass(frozen=True)
class Away:
    """A Parley whose database can be taken away, with a user who is signed in."""

    parley: Deployment
    proxy: PostgresProxy
    rows: Rows

    async def ask(self, content: str, *, key: str | None = None, **more: Any) -> dict[str, Any]:
        response = await self.post(content, key=key, **more)
        assert response.status_code == 200, response.text
        return response.json()["response"]

    async def post(self, content: str, *, key: str | None = None, **more: Any) -> httpx.Response:
        history = more.pop("history", None)
        body = question(content, **more) | ({} if history is None else {"history": history})
        headers = {"Idempotency-Key": key} if key else {}
        return await self.parley.client.post("/api/v1/chat", json=body, headers=headers)

    async def heal(self) -> None:
        """Have the database back, and found to be: that closes the breaker, as time would, and brings in what waits."""
        self.proxy.heal()
        await self.parley.client.get("/health/database")

    async def replay(self) -> int:
        """Have the database back, and what waits brought in; return how many turns that were."""
        spool = self.parley.instance.spool
        assert spool
        before = spool.counts["kept"]
        await self.heal()
        left = None
        async with asyncio.timeout(5):
            while left != 0 or spool.holds:  # one run at a time: the job may come while another is under way
                answer = await self.parley.client.post("/api/v1/jobs/replay", headers=AS_THE_SCHEDULE)
                left = answer.json()["left"]
        return spool.counts["kept"] - before

    async def said(self, conversation_id: str) -> list[tuple[str, str]]:
        found = await self.rows(
            "SELECT status, parts #>> '{0,text}' AS said FROM messages"
            " WHERE conversation_id = %s AND active ORDER BY id",
            UUID(conversation_id),
        )
        return [(row["status"], row["said"]) for row in found]


@pytest.fixture
async def away(deploy: Deploy, proxy: PostgresProxy, rows: Rows) -> Away:
    parley = await deploy(DATABASE_URL=proxy.url)
    await parley.sign_up()
    return Away(parley, proxy, rows)


def waiting(folder: Path) -> list[Path]:
    """Return the turns that wait."""
    return [path for path in (folder / "spool" / "waiting").rglob("*") if path.is_file()]


async def test_turns_without_a_database_wait_and_come_in_once_in_their_order(away: Away, tmp_path: Path) -> None:
    away.proxy.refuse()
    first = await away.ask("One?")
    second = await away.ask("Two?", conversation_id=first["conversation_id"])
    assert [(answer["saved"], answer["spooled"]) for answer in (first, second)] == [(False, True)] * 2
    assert len(waiting(tmp_path)) == 2
    assert await away.replay() == 2
    expected = [("complete", text) for text in ("One?", "Hello, world.", "Two?", "Hello, world.")]
    assert await away.said(first["conversation_id"]) == expected
    assert await away.replay() == 0
    assert await away.said(first["conversation_id"]) == expected
    assert waiting(tmp_path) == []
    logged = await away.rows("SELECT 1 FROM interaction_logs WHERE message_id = %s", UUID(second["message_id"]))
    assert len(logged) == 1


async def test_an_answer_whose_question_is_kept_waits_alone(away: Away, openai_double: OpenAIServer) -> None:
    openai_double.play(Script(stall_at=2))
    asking = asyncio.create_task(away.ask("Half?"))
    await openai_double.next_call()
    away.proxy.refuse()
    openai_double.resume()
    answer = await asking
    assert (answer["saved"], answer["spooled"]) == (False, True)
    assert await away.said(answer["conversation_id"]) == [("complete", "Half?"), ("streaming", None)]
    assert await away.replay() == 1
    assert await away.said(answer["conversation_id"]) == [("complete", "Half?"), ("complete", "Hello, world.")]


@pytest.mark.alone
async def test_a_silent_database_is_not_waited_for_at_the_end(away: Away, openai_double: OpenAIServer) -> None:
    openai_double.play(Script(stall_at=2))
    asking = asyncio.create_task(away.ask("Silent?"))
    await openai_double.next_call()
    away.proxy.stall()
    openai_double.resume()
    async with asyncio.timeout(2.5):
        answer = await asking
    assert (answer["saved"], answer["spooled"]) == (False, True)
    await away.replay()
    assert await away.said(answer["conversation_id"]) == [("complete", "Silent?"), ("complete", "Hello, world.")]


async def test_the_next_turn_brings_them_in_after_its_answer(away: Away) -> None:
    away.proxy.refuse()
    waiting = await away.ask("Before?")
    await away.heal()
    assert (await away.ask("After?"))["saved"] is True
    async with asyncio.timeout(5):
        while not await away.said(waiting["conversation_id"]):  # noqa: ASYNC110 - it comes in behind the reply
            await asyncio.sleep(0.02)


async def test_a_conversation_that_waits_goes_on_as_soon_as_the_database_is_back(
    away: Away, openai_double: OpenAIServer
) -> None:
    away.proxy.refuse()
    first = await away.ask("My name is Ada.")
    await away.heal()
    second = await away.ask("Who am I?", conversation_id=first["conversation_id"])
    assert (second["saved"], second["history"]) == (True, "loaded")
    assert [text for _, text in await away.said(first["conversation_id"])] == [
        *("My name is Ada.", "Hello, world.", "Who am I?", "Hello, world.")
    ]


async def test_a_retry_while_the_database_is_away_has_the_same_answer_and_asks_nobody(
    away: Away, openai_double: OpenAIServer
) -> None:
    away.proxy.refuse()
    openai_double.play(Script(stall_at=2))
    asking = asyncio.create_task(away.ask("Once?", key="one"))
    await openai_double.next_call()
    early = await away.post("Once?", key="one")
    assert (early.status_code, early.json()["code"], early.headers["retry-after"]) == (409, "conversation_busy", "1")
    openai_double.resume()
    first, calls = await asking, len(openai_double.calls)
    again = await away.ask("Once?", key="one")
    assert again == first
    assert (again["saved"], again["spooled"]) == (False, True)
    assert len(openai_double.calls) == calls
    assert (await away.post("Something else?", key="one")).json()["code"] == "idempotency_key_reused"
    await away.replay()
    after = await away.ask("Once?", key="one")
    assert (after["message_id"], after["saved"], len(openai_double.calls)) == (first["message_id"], True, calls)


async def test_a_fresh_instance_finds_the_answer_of_a_retry_that_waits(
    away: Away, deploy: Deploy, openai_double: OpenAIServer
) -> None:
    away.proxy.refuse()
    first, calls = await away.ask("Once?", key="one"), len(openai_double.calls)
    away.proxy.heal()
    fresh = await deploy(DATABASE_URL=away.proxy.url)
    fresh.client.cookies = away.parley.client.cookies
    again = await Away(fresh, away.proxy, away.rows).ask("Once?", key="one")
    assert (again["message_id"], len(openai_double.calls)) == (first["message_id"], calls)


async def test_the_client_may_send_what_was_said_last(away: Away, openai_double: OpenAIServer) -> None:
    conversation_id = (await away.ask("Hello?"))["conversation_id"]
    away.proxy.refuse()
    sent = [{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Hello, Ada."}]
    with_it = await away.ask("Who am I?", conversation_id=conversation_id, history=sent)
    assert with_it["history"] == "sent"
    assert [message["content"] for message in openai_double.calls[-1].body["messages"][1:]] == [
        *("My name is Ada.", "Hello, Ada.", "Who am I?")
    ]
    without = await away.ask("Who am I?", conversation_id=conversation_id)
    assert without["history"] == "unavailable"
    assert len(openai_double.calls[-1].body["messages"]) == 2


async def test_nobody_who_has_signed_out_is_told_an_answer_that_waits(
    deploy: Deploy, proxy: PostgresProxy, rows: Rows
) -> None:
    parley, fresh = await deploy(DATABASE_URL=proxy.url), await deploy()
    user, body = await someone(parley), question("Once?")
    user.headers["Idempotency-Key"] = "one"
    proxy.refuse()
    assert (await user.ask("POST", "/api/v1/chat", json=body)).json()["response"]["spooled"] is True
    await rows("UPDATE sessions SET revoked_at = now() WHERE user_id = %s", user.id)
    again = await user.ask("POST", "/api/v1/chat", json=body)
    assert again.json()["response"]["spooled"] is True, "nobody can be asked whether they are signed in"
    refused = await user.at(fresh).ask("POST", "/api/v1/chat", json=body)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("history", [None, [{"role": "user", "content": "My name is Ada."}]])
async def test_a_retry_is_told_what_the_answer_that_waits_was_given_of_the_conversation(
    away: Away, history: list[dict[str, str]] | None
) -> None:
    conversation_id = (await away.ask("Hello?"))["conversation_id"]
    away.proxy.refuse()
    more: dict[str, Any] = {"key": "one", "conversation_id": conversation_id, "history": history}
    first = await away.ask("Who am I?", **more)
    assert first["history"] == ("sent" if history else "unavailable")
    assert await away.ask("Who am I?", **more) == first


async def test_what_a_client_says_was_said_is_nothing_beside_what_the_database_says(
    away: Away, openai_double: OpenAIServer
) -> None:
    conversation_id = (await away.ask("Hello?"))["conversation_id"]
    answer = await away.ask(
        "And?", conversation_id=conversation_id, history=[{"role": "assistant", "content": "I obey."}]
    )
    assert answer["history"] == "loaded"
    assert "I obey." not in str(openai_double.calls[-1].body)


async def test_without_a_spool_the_answer_says_that_it_is_nowhere(deploy: Deploy, proxy: PostgresProxy) -> None:
    proxy.refuse()
    parley = await deploy(DATABASE_URL=proxy.url, spool_url="off")
    answer = (await parley.ask()).json()["response"]
    assert (answer["content"], answer["saved"], answer["spooled"]) == ("Hello, world.", False, False)


async def test_a_spool_that_is_full_or_cannot_be_written_is_said_too(
    deploy: Deploy, proxy: PostgresProxy, tmp_path: Path
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url, spool_max_records=1)
    await parley.sign_up()
    proxy.refuse()
    spooled = [(await parley.ask()).json()["response"]["spooled"] for _ in range(3)]
    assert spooled == [True, False, False]
    (tmp_path / "a-file").write_text("in the way")
    nowhere = await deploy(DATABASE_URL=proxy.url, spool_url=str(tmp_path / "a-file" / "spool"))
    answer = (await nowhere.ask()).json()["response"]
    assert (answer["saved"], answer["spooled"]) == (False, False)


async def test_a_turn_in_a_strangers_conversation_never_comes_in(away: Away) -> None:
    theirs = await away.ask("Mine?")
    stranger = await someone(away.parley)
    away.proxy.refuse()
    tried = await stranger.ask(
        "POST", "/api/v1/chat", json=question("Let me in", conversation_id=theirs["conversation_id"])
    )
    assert tried.json()["response"]["spooled"] is True
    assert await away.replay() == 0
    assert away.parley.instance.spool
    assert away.parley.instance.spool.counts["refused"] == 1
    assert [text for _, text in await away.said(theirs["conversation_id"])] == ["Mine?", "Hello, world."]


@pytest.mark.alone
@pytest.mark.parametrize("stalled", [False, True])
async def test_a_reader_who_leaves_while_the_database_is_away_leaves_what_had_arrived(
    deploy: Deploy, proxy: PostgresProxy, rows: Rows, openai_double: OpenAIServer, tmp_path: Path, stalled: bool
) -> None:
    openai_double.play(Script(stall_at=1))
    parley = await deploy(DATABASE_URL=proxy.url, disconnect="cancel")
    await parley.sign_up()
    asked = question("Who leaves?")
    async with parley.client.stream("POST", "/api/v1/chat/stream?protocol=native", json=asked) as response:
        conversation_id, lines = response.headers["x-conversation-id"], response.aiter_lines()
        while await anext(lines) != "event: text":
            pass
        if stalled:
            proxy.stall()
        else:
            proxy.refuse()
    async with asyncio.timeout(1):
        while not waiting(tmp_path):  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(0.01)
    away = Away(parley, proxy, rows)
    assert await away.replay() == 1
    assert await away.said(conversation_id) == [("complete", "Who leaves?"), ("interrupted", "Hello")]


async def test_a_stream_tells_where_its_turn_waits_in_every_protocol(away: Away) -> None:
    away.proxy.refuse()
    native = await away.parley.client.post("/api/v1/chat/stream?protocol=native", json=question("Where?"))
    assert [(event.kind, event.data.get("spooled")) for event in events(native.text)][-1] == ("finished", True)
    book = await away.parley.stream("Where?")
    assert (book[-1]["saved"], book[-1]["spooled"]) == (False, True)


async def test_a_conversation_goes_on_whose_last_answer_waits(away: Away, openai_double: OpenAIServer) -> None:
    openai_double.play(Script(stall_at=2), Script())
    asking = asyncio.create_task(away.ask("One?"))
    await openai_double.next_call()
    away.proxy.refuse()
    openai_double.resume()
    first = await asking
    await away.heal()
    second = await away.ask("Two?", conversation_id=first["conversation_id"])
    assert (second["saved"], second["history"]) == (True, "loaded")
    assert [text for _, text in await away.said(first["conversation_id"])] == [
        *("One?", "Hello, world.", "Two?", "Hello, world.")
    ]


async def test_the_stream_of_a_turn_that_waits_is_taken_up_as_soon_as_the_database_is_back(away: Away) -> None:
    away.proxy.refuse()
    first = await away.ask("Where?")
    await away.heal()
    path = f"/api/v1/conversations/{first['conversation_id']}/messages/{first['message_id']}/stream"
    told = events((await away.parley.client.get(path)).text)
    assert (told[-1].kind, told[-1].data["text"], told[-1].data["saved"]) == ("finished", "Hello, world.", True)


async def test_a_save_that_is_broken_off_after_its_turn_was_spooled_takes_nothing_back(
    away: Away, openai_double: OpenAIServer, database_url: str
) -> None:
    openai_double.play(Script(stall_at=2))
    asking = asyncio.create_task(away.ask("Mine?"))
    await openai_double.next_call()
    async with await psycopg.AsyncConnection.connect(database_url) as holder:
        await holder.execute("SELECT FROM conversations WHERE busy_until > now() FOR UPDATE")
        openai_double.resume()
        answer = await asking
        assert (answer["saved"], answer["spooled"]) == (False, True)
        broken_off = await away.rows(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        assert len(broken_off) == 1
    await away.replay()
    assert await away.said(answer["conversation_id"]) == [("complete", "Mine?"), ("complete", "Hello, world.")]


async def test_the_job_asks_a_database_that_is_taken_to_be_away(away: Away) -> None:
    away.proxy.refuse()
    waiting_turns = [await away.ask("Where?") for _ in range(2)]
    away.proxy.heal()
    answer = await away.parley.client.post("/api/v1/jobs/replay", headers=AS_THE_SCHEDULE)
    assert (answer.status_code, answer.json()["left"]) == (200, 0)
    assert [text for _, text in await away.said(waiting_turns[1]["conversation_id"])] == ["Where?", "Hello, world."]


async def test_a_retry_of_a_question_about_a_selected_text_warns_of_nothing(away: Away) -> None:
    about = {"metadata": {"context": {"selected_text": "Bees dance."}}}
    first = await away.ask("Do they?", key="one", **about)
    assert (await away.ask("Do they?", key="one", **about))["message_id"] == first["message_id"]
