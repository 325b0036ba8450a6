"""A stream that broke is taken up where it broke, on any instance: nothing comes twice, and nothing is missing."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.people import Asker, someone
from tests.fixtures.streams import Event, events, team_frames, told
from tests.fixtures.web import Deploy, Deployment, Rows

SCRIPT = Script.saying("Bees — naïve 🐝 ones — dance, and say:\n\n“go there”.", reasoning=("Hm", ", bees", "?"))


async def conversation(asker: Asker) -> str:
    made = await asker.ask("POST", "/api/v1/chat", json={"message": {"content": "Hello"}})
    return made.json()["response"]["conversation_id"]


async def send(asker: Asker, conversation_id: str, **more: Any) -> httpx.Response:
    return await asker.ask(
        "POST", f"/api/v1/conversations/{conversation_id}/messages", json={"content": "Do bees dance?"}, **more
    )


def stream_of(conversation_id: str, message_id: str, prefix: str = "/api/v1/conversations") -> str:
    return f"{prefix}/{conversation_id}/messages/{message_id}/stream"


async def leave_unfinished(rows: Rows, message_id: str) -> None:
    """Have an answer stand as a killed function leaves it, once nobody can be writing it any more."""
    await rows(
        "WITH killed AS (UPDATE messages SET status = 'streaming' WHERE id = %s RETURNING conversation_id)"
        " UPDATE conversations SET answer_id = %s, busy_until = now() - interval '1 second' FROM killed"
        " WHERE id = killed.conversation_id",
        message_id,
        message_id,
    )


async def take_up(asker: Asker, path: str, last: str | None) -> list[Event]:
    answer = await asker.ask("GET", path, headers={} if last is None else {"Last-Event-ID": last})
    assert answer.status_code in {200, 204}, answer.text
    return events(answer.text)


async def test_a_stream_cut_at_any_byte_is_told_to_its_end_once_the_turn_is_over(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    openai_double.play(SCRIPT)
    answer = await send(asker, conversation_id)
    whole = events(answer.text)
    path = stream_of(conversation_id, answer.headers["x-message-id"])
    rests: dict[str | None, list[Event]] = {}
    for offset in range(len(answer.content) + 1):
        had = events(answer.content[:offset].decode(errors="ignore"))
        last = had[-1].id if had else None
        if last not in rests:
            rests[last] = await take_up(asker, path, last)
        assert told([*had, *rests[last]]) == told(whole)
    assert len(rests) == len(whole) + 1
    assert rests[whole[-1].id] == []


async def test_a_stream_cut_after_any_event_goes_on_live_at_another_instance(
    deploy: Deploy, openai_double: OpenAIServer
) -> None:
    here, there = await deploy(), await deploy()
    asker = await someone(here)
    conversation_id = await conversation(asker)
    gate = asyncio.Semaphore(0)
    openai_double.play(SCRIPT.but(gate=gate))
    elsewhere = asker.at(there)
    async with (
        httpx.AsyncClient(base_url=here.url, headers=asker.headers, timeout=30) as client,
        client.stream(
            "POST", f"/api/v1/conversations/{conversation_id}/messages", json={"content": "Do bees dance?"}
        ) as response,
    ):
        path = stream_of(conversation_id, response.headers["x-message-id"])
        following: list[tuple[str | None, asyncio.Task[list[Event]]]] = [
            (None, asyncio.create_task(take_up(elsewhere, path, None)))
        ]
        said = ""
        async for text in response.aiter_text():
            said += text
            last = events(said)[-1].id if events(said) else None
            following.append((last, asyncio.create_task(take_up(elsewhere, path, last))))
            gate.release()
    whole = events(said)
    for last, rest in following:
        ids = [event.id for event in whole]
        had = whole[: ids.index(last) + 1] if last else []
        assert told([*had, *await rest]) == told(whole)
    assert len(following) > 8


async def test_what_is_written_can_be_read_before_the_end_and_nothing_is_left_of_it_after(
    deploy: Deploy, openai_double: OpenAIServer, rows: Rows
) -> None:
    here, there = await deploy(), await deploy()
    asker = await someone(here)
    conversation_id = await conversation(asker)
    openai_double.play(Script.saying("One two three four", stall_at=2))
    sending = asyncio.create_task(send(asker, conversation_id))
    await openai_double.next_call()
    await openai_double.next_call()
    (message,) = await rows(
        "SELECT id FROM messages WHERE conversation_id = %s AND status = 'streaming'", conversation_id
    )
    async with (
        httpx.AsyncClient(base_url=there.url, headers=asker.headers, timeout=30) as client,
        client.stream("GET", stream_of(conversation_id, str(message["id"]))) as response,
    ):
        said = ""
        async for text in response.aiter_text():
            said += text
            if told(events(said))["text"] == "One two":
                assert await rows("SELECT number FROM stream_events WHERE message_id = %s", message["id"])
                openai_double.resume()
    assert told(events(said)) == told(events((await sending).text))
    assert await rows("SELECT number FROM stream_events WHERE message_id = %s", message["id"]) == []


async def test_a_short_answer_writes_nothing_beside_itself(
    parley: Deployment, openai_double: OpenAIServer, rows: Rows
) -> None:
    (before,) = await rows("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'stream_events'")
    await parley.stream()
    (after,) = await rows("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'stream_events'")
    assert before == after


async def test_a_lost_connection_goes_on_to_the_end(
    parley: Deployment, openai_double: OpenAIServer, rows: Rows
) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    openai_double.play(Script.saying("One two three four", stall_at=2))
    async with (
        httpx.AsyncClient(base_url=parley.url, headers=asker.headers, timeout=30) as client,
        client.stream(
            "POST", f"/api/v1/conversations/{conversation_id}/messages", json={"content": "Count"}
        ) as response,
    ):
        had = events(await anext(response.aiter_text()))
        path = stream_of(conversation_id, response.headers["x-message-id"])
    openai_double.resume()
    rest = await take_up(asker, path, had[-1].id)
    assert told([*had, *rest])["text"] == "One two three four"
    assert rest[-1].kind == "finished"
    assert rest[-1].data["saved"] is True


async def test_the_teams_stream_is_taken_up_in_the_teams_frames(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    openai_double.play(Script.saying("One two three"))
    answer = await asker.ask("POST", f"/api/chats/{conversation_id}/messages", json={"content": "Count"})
    first = next(line for line in answer.text.splitlines() if line.startswith("id: ")).removeprefix("id: ")
    path = stream_of(conversation_id, answer.headers["x-message-id"], "/api/chats")
    again = await asker.ask("GET", path, headers={"Last-Event-ID": first})
    frames = team_frames(answer.text)
    assert "".join(
        frame["data"]["content"] for frame in [frames[0], *team_frames(again.text)] if frame["type"] == "message"
    ) == ("One two three")
    assert team_frames(again.text)[-1] == frames[-1]
    assert (frames[-1]["type"], frames[-1]["data"]["message_id"]) == ("done", answer.headers["x-message-id"])


async def test_a_program_that_may_only_chat_takes_up_what_is_being_written(
    parley: Deployment, openai_double: OpenAIServer, rows: Rows
) -> None:
    program = await (await someone(parley)).key("chat")
    conversation_id = await conversation(program)
    openai_double.play(Script.saying("One two three four", stall_at=2))
    sending = asyncio.create_task(send(program, conversation_id))
    for _ in range(2):
        await openai_double.next_call()
    (message,) = await rows(
        "SELECT id FROM messages WHERE conversation_id = %s AND status = 'streaming'", conversation_id
    )
    async with (
        httpx.AsyncClient(base_url=parley.url, headers=program.headers, timeout=30) as client,
        client.stream("GET", stream_of(conversation_id, str(message["id"]))) as response,
    ):
        openai_double.resume()
        await sending
        read = events((await response.aread()).decode())
    assert told(read) == told(events((await sending).text))


@pytest.mark.parametrize("killed", [False, True])
async def test_an_answer_that_is_over_is_for_programs_that_may_read(
    parley: Deployment, rows: Rows, killed: bool
) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    answer = await send(asker, conversation_id)
    path = stream_of(conversation_id, answer.headers["x-message-id"])
    if killed:
        await leave_unfinished(rows, answer.headers["x-message-id"])
    chats, both = await asker.key("chat"), await asker.key("chat", "read")
    for last in (None, *(event.id for event in events(answer.text))):
        refused = await chats.ask("GET", path, headers={"Last-Event-ID": last} if last else {})
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing"), last
    assert (await take_up(both, path, None))[-1].kind == ("failed" if killed else "finished")


@pytest.mark.parametrize("last", ["x", "1.2", "1.1.1.1.1"])
async def test_an_id_that_is_none_of_ours_is_refused(parley: Deployment, last: str) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    message_id = (await send(asker, conversation_id)).headers["x-message-id"]
    answer = await asker.ask("GET", stream_of(conversation_id, message_id), headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_an_answer_that_failed_says_so_again(parley: Deployment, openai_double: OpenAIServer) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    openai_double.play(Script.saying("One two three", error_at=1))
    answer = await send(asker, conversation_id)
    path = stream_of(conversation_id, answer.headers["x-message-id"])
    again = await take_up(asker, path, None)
    assert told(again) == told(events(answer.text))
    assert (again[-1].kind, again[-1].data["code"]) == ("failed", "provider_error")


async def test_an_answer_that_a_killed_function_left_ends_as_interrupted(
    parley: Deployment, rows: Rows, openai_double: OpenAIServer
) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    message_id = (await send(asker, conversation_id)).headers["x-message-id"]
    await leave_unfinished(rows, message_id)
    read = await take_up(asker, stream_of(conversation_id, message_id), None)
    assert (read[-1].kind, read[-1].data["code"]) == ("failed", "interrupted")


async def test_a_batch_that_was_kept_unheard_comes_once(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer, rows: Rows
) -> None:
    here, there = await deploy(DATABASE_URL=proxy.url), await deploy()
    asker = await someone(there)
    conversation_id = await conversation(asker)
    openai_double.play(Script(pieces=tuple(f"piece {number} " for number in range(60)), pace=0.05))
    sending = asyncio.create_task(send(asker.at(here), conversation_id))
    for _ in range(2):
        await openai_double.next_call()
    (message,) = await rows(
        "SELECT id FROM messages WHERE conversation_id = %s AND status = 'streaming'", conversation_id
    )
    following = asyncio.create_task(take_up(asker, stream_of(conversation_id, str(message["id"])), None))
    while not await rows("SELECT 1 FROM stream_events WHERE message_id = %s", message["id"]):
        pass
    proxy.swallow()
    assert told(await following)["text"] == told(events((await sending).text))["text"]
