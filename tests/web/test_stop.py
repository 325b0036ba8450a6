"""An answer that is stopped: from anywhere, within a second, keeping what there is, and unlike a lost connection."""

import asyncio
import time

import httpx
import psycopg
import pytest

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.fixtures.people import Asker, someone
from tests.fixtures.streams import events, team_frames, told
from tests.fixtures.web import Deploy, Deployment, Rows


async def answering(
    asker: Asker, openai_double: OpenAIServer, script: Script, prefix: str = "/api/v1/conversations"
) -> tuple[str, str, asyncio.Task[httpx.Response]]:
    """Ask a question whose answer is being written, and return its path and id, and the stream."""
    conversation_id = (await asker.ask("POST", prefix, json={})).json()["id"]
    openai_double.play(script)
    path = f"{prefix}/{conversation_id}/messages"
    sending = asyncio.create_task(asker.ask("POST", path, json={"content": "Count"}))
    await openai_double.next_call()
    shown = await asker.ask("GET", path)
    return path, shown.json()["messages"][-1]["id"], sending


@pytest.mark.alone
@pytest.mark.parametrize("stall_at", [0, 2])
async def test_it_stops_within_a_second_from_another_instance_and_keeps_what_there_is(
    deploy: Deploy, openai_double: OpenAIServer, rows: Rows, stall_at: int
) -> None:
    here, there = await deploy(), await deploy()
    asker = await someone(here)
    path, message_id, sending = await answering(
        asker, openai_double, Script.saying("One two three four", stall_at=stall_at)
    )
    began = time.monotonic()
    stopped = await asker.at(there).ask("POST", f"{path}/{message_id}/stop")
    await openai_double.calls[-1].gone.wait()
    assert time.monotonic() - began < 1
    assert (stopped.status_code, stopped.json()) == (200, {"id": message_id, "status": "stopped"})
    read = events((await sending).text)
    said = "One two" if stall_at else ""
    assert (told(read)["text"], read[-1].kind, read[-1].data["stopped"]) == (said, "finished", True)
    (row,) = await rows("SELECT outcome FROM interaction_logs WHERE message_id = %s", message_id)
    kept = (await asker.ask("GET", f"{path}/{message_id}")).json()
    assert (kept["content"], kept["status"], row["outcome"]) == (said, "stopped", "stopped")
    again = await asker.ask("GET", f"{path}/{message_id}/stream")
    assert told(events(again.text)) == told(read)


async def test_the_team_is_told_that_its_stream_stopped(parley: Deployment, openai_double: OpenAIServer) -> None:
    asker = await someone(parley)
    path, message_id, sending = await answering(
        asker, openai_double, Script.saying("One two three", stall_at=1), "/api/chats"
    )
    await asker.ask("POST", f"{path}/{message_id}/stop")
    last = team_frames((await sending).text)[-1]
    assert (last["type"], last["data"]["message"]) == ("done", "Stream stopped")


async def test_a_conversation_goes_on_after_an_answer_that_was_stopped(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker = await someone(parley)
    path, message_id, sending = await answering(asker, openai_double, Script.saying("One two three", stall_at=1))
    await asker.ask("POST", f"{path}/{message_id}/stop")
    await sending
    openai_double.play(Script())
    assert events((await asker.ask("POST", path, json={"content": "Go on"})).text)[-1].kind == "finished"
    said = [message["content"] for message in openai_double.calls[-1].body["messages"][1:]]
    assert said == ["Count", "One", "Go on"]


async def test_an_answer_that_is_over_stays_as_it_is(parley: Deployment) -> None:
    asker = await someone(parley)
    conversation_id = (await asker.ask("POST", "/api/chats", json={})).json()["id"]
    answer = await asker.ask("POST", f"/api/chats/{conversation_id}/messages", json={"content": "Hi"})
    message_id = answer.headers["x-message-id"]
    stopped = await asker.ask("POST", f"/api/chats/{conversation_id}/messages/{message_id}/stop")
    assert stopped.json() == {"id": message_id, "status": "complete"}


async def test_how_an_answer_stands_is_asked_without_reading_what_there_is_of_it(
    parley: Deployment, database_url: str
) -> None:
    asker = await someone(parley)
    conversation_id = (await asker.ask("POST", "/api/chats", json={})).json()["id"]
    answer = await asker.ask("POST", f"/api/chats/{conversation_id}/messages", json={"content": "Hi"})
    message_id = answer.headers["x-message-id"]
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("LOCK stream_events IN ACCESS EXCLUSIVE MODE")
        stopped = await asker.ask("POST", f"/api/chats/{conversation_id}/messages/{message_id}/stop")
    assert stopped.json() == {"id": message_id, "status": "complete"}


async def test_an_answer_that_nobody_writes_any_more_is_closed_with_what_is_known_of_it(
    parley: Deployment, openai_double: OpenAIServer, rows: Rows
) -> None:
    asker = await someone(parley)
    path, message_id, sending = await answering(asker, openai_double, Script.saying("One two three", stall_at=2))
    while not await rows("SELECT 1 FROM stream_events WHERE message_id = %s", message_id):
        pass
    # Another row takes the answer's place in its function's eyes: as if that had been killed.
    parley.instance.turn.under_way._writing.clear()  # pyright: ignore[reportPrivateUsage]
    stopped = await asker.ask("POST", f"{path}/{message_id}/stop")
    kept = (await asker.ask("GET", f"{path}/{message_id}")).json()
    assert (stopped.json()["status"], kept["content"]) == ("stopped", "One two")
    assert await rows("SELECT 1 FROM stream_events WHERE message_id = %s", message_id) == []
    openai_double.resume()
    assert events((await sending).text)[-1].data["saved"] is False


async def test_deleting_a_conversation_stops_its_answer(parley: Deployment, openai_double: OpenAIServer) -> None:
    asker = await someone(parley)
    path, _, sending = await answering(asker, openai_double, Script.saying("One two three", stall_at=1))
    await asker.ask("DELETE", path.removesuffix("/messages"))
    async with asyncio.timeout(2):
        await openai_double.calls[-1].gone.wait()
    assert events((await sending).text)[-1].data["saved"] is False
