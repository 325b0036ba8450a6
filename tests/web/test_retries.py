"""A request that is sent again with its `Idempotency-Key` is one turn: one call of the model, the same answer."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from lib.jobs.reap import reap
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.fixtures.people import Asker, someone
from tests.fixtures.streams import events, told
from tests.fixtures.web import Deploy, Deployment, Rows, question

SCRIPT = Script.saying("Bees dance, they say.", reasoning=("Hm",))


async def ask(asker: Asker, key: str, content: str = "Do bees dance?", **more: Any) -> httpx.Response:
    body = question(content, **more)
    return await asker.ask("POST", "/api/v1/chat", json=body, headers={**asker.headers, "Idempotency-Key": key})


async def stream(asker: Asker, key: str, content: str = "Do bees dance?") -> httpx.Response:
    headers = {**asker.headers, "Idempotency-Key": key}
    return await asker.ask("POST", "/api/v1/chat/stream?protocol=native", json=question(content), headers=headers)


@pytest.mark.parametrize("way", [ask, stream])
async def test_twenty_at_once_are_one_turn_and_one_answer(
    deploy: Deploy, openai_double: OpenAIServer, rows: Rows, way: Any
) -> None:
    instances = [await deploy(), await deploy()]
    openai_double.play(SCRIPT.but(pace=0.05))
    asker, key = await someone(instances[0]), str(uuid4())
    answers = await asyncio.gather(*(way(asker.at(instances[n % 2]), key) for n in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(openai_double.calls) == 1
    if way is ask:
        assert len({answer.text for answer in answers}) == 1
    else:
        first, *others = (told(events(answer.text)) for answer in answers)
        assert all(other == first for other in others)
    kept = await rows("SELECT count(*) AS turns FROM interaction_logs WHERE user_id = %s", asker.id)
    assert kept == [{"turns": 1}]


async def test_a_retry_later_has_the_same_answer_whole_or_streamed(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker, key = await someone(parley), str(uuid4())
    openai_double.play(SCRIPT)
    first = await ask(asker, key)
    assert (await ask(asker, key)).json() == first.json()
    assert told(events((await stream(asker, key)).text))["text"] == first.json()["response"]["content"]
    assert len(openai_double.calls) == 1


async def test_a_changed_body_is_refused_and_stores_nothing(parley: Deployment, rows: Rows) -> None:
    asker, key = await someone(parley), str(uuid4())
    await ask(asker, key)
    changed = await ask(asker, key, "Do wasps dance?")
    assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_key_reused")
    assert len(await rows("SELECT 1 FROM conversations WHERE user_id = %s", asker.id)) == 1


async def test_a_key_is_its_owners_alone(parley: Deployment, openai_double: OpenAIServer) -> None:
    key = str(uuid4())
    for asker in (await someone(parley), await someone(parley), Asker(parley.url)):
        await ask(asker, key)
    assert len(openai_double.calls) == 3


async def test_a_retry_while_the_answer_is_written_joins_its_stream(
    deploy: Deploy, openai_double: OpenAIServer
) -> None:
    here, there = await deploy(), await deploy()
    asker, key = await someone(here), str(uuid4())
    openai_double.play(Script.saying("One two three", stall_at=1))
    first = asyncio.create_task(stream(asker, key))
    await openai_double.next_call()
    second = asyncio.create_task(stream(asker.at(there), key))
    openai_double.resume()
    assert told(events((await second).text)) == told(events((await first).text))


async def test_a_retry_of_a_turn_that_failed_fails_alike(parley: Deployment, openai_double: OpenAIServer) -> None:
    asker, key = await someone(parley), str(uuid4())
    openai_double.play(Script.saying("One two three", error_at=1))
    first, second = await ask(asker, key), await ask(asker, key)
    assert (first.status_code, first.json()["code"]) == (second.status_code, second.json()["code"])
    assert first.json()["code"] == "provider_error"
    assert len(openai_double.calls) == 1


async def test_a_message_sent_again_into_its_conversation_is_there_once(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker, key = await someone(parley), str(uuid4())
    conversation_id = (await asker.ask("POST", "/api/chats", json={})).json()["id"]
    headers = {**asker.headers, "Idempotency-Key": key}
    for _ in range(3):
        answer = await asker.ask(
            "POST", f"/api/chats/{conversation_id}/messages", json={"content": "Hi"}, headers=headers
        )
        assert answer.status_code == 200
    shown = (await asker.ask("GET", f"/api/chats/{conversation_id}")).json()["messages"]
    assert (len(shown), len(openai_double.calls)) == (2, 1)


@pytest.mark.parametrize(
    ("key", "status"), [("short", 400), ("x" * 256, 400), ("0b2f4a55-8c1d-4f6e-9a37-5d1c0e7b9f42", 200)]
)
async def test_a_guests_key_is_as_hard_to_guess_as_what_it_opens(parley: Deployment, key: str, status: int) -> None:
    assert (await ask(Asker(parley.url), key)).status_code == status


async def test_old_keys_are_forgotten_by_the_job(parley: Deployment, rows: Rows) -> None:
    asker, key = await someone(parley), str(uuid4())
    conversation_id = (await ask(asker, key)).json()["response"]["conversation_id"]
    await rows(
        "UPDATE turn_keys SET created_at = now() - interval '25 hours' WHERE conversation_id = %s", conversation_id
    )
    await reap(parley.instance.database)
    assert await rows("SELECT 1 FROM turn_keys WHERE conversation_id = %s", conversation_id) == []


async def test_twenty_at_once_into_one_conversation_are_one_turn(deploy: Deploy, openai_double: OpenAIServer) -> None:
    instances = [await deploy(), await deploy()]
    asker, key = await someone(instances[0]), str(uuid4())
    conversation_id = (await asker.ask("POST", "/api/chats", json={})).json()["id"]
    openai_double.play(SCRIPT.but(pace=0.05))
    path, headers = f"/conversations/{conversation_id}/messages", {**asker.headers, "Idempotency-Key": key}
    answers = await asyncio.gather(
        *(
            asker.at(instances[number % 2]).ask("POST", path, json={"content": "Hi"}, headers=headers)
            for number in range(20)
        )
    )
    first, *others = (told(events(answer.text)) for answer in answers)
    assert all(other == first for other in others)
    assert len(openai_double.calls) == 1


async def test_a_retry_of_a_turn_that_is_over_is_known_while_another_is_under_way(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker, key = await someone(parley), str(uuid4())
    conversation_id = (await asker.ask("POST", "/api/chats", json={})).json()["id"]
    path, headers = f"/conversations/{conversation_id}/messages", {**asker.headers, "Idempotency-Key": key}
    first = await asker.ask("POST", path, json={"content": "Hi"}, headers=headers)
    openai_double.play(Script(stall_at=0))
    other = asyncio.create_task(asker.ask("POST", path, json={"content": "Wait"}))
    await openai_double.next_call()
    await openai_double.next_call()
    again = await asker.ask("POST", path, json={"content": "Hi"}, headers=headers)
    assert told(events(again.text)) == told(events(first.text))
    changed = await asker.ask("POST", path, json={"content": "Bye"}, headers=headers)
    assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_key_reused")
    openai_double.resume()
    await other
