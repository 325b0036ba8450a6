"""Turns in a conversation: sent, worded anew, answered again, and never two at a time."""

import asyncio
import random
from typing import Any

import pytest

from tests.clients.workflow import GREETING, working
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.people import Asker, Found, someone
from tests.fixtures.streams import events, team_frames, told
from tests.fixtures.web import Deploy, Deployment, Rows, question

AGENT = {"name": "Support Bot", "system_prompt": "You are a helpful customer support assistant."}


async def conversation(asker: Asker, **body: Any) -> str:
    made = await asker.ask("POST", "/api/v1/conversations", json=body)
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def say(asker: Asker, conversation_id: str, content: str) -> str:
    """Send a message and return the answer's id."""
    answer = await asker.ask("POST", f"/api/v1/conversations/{conversation_id}/messages", json={"content": content})
    assert events(answer.text)[-1].kind == "finished", answer.text
    return answer.headers["x-message-id"]


async def shown(asker: Asker, conversation_id: str) -> list[tuple[str, str]]:
    """Return the path that a conversation shows: who said what."""
    answer = await asker.ask("GET", f"/api/v1/conversations/{conversation_id}")
    return [(message["role"], message["content"]) for message in answer.json()["messages"]]


def asked(openai_double: OpenAIServer) -> list[str]:
    """Return what the model was asked last, less its instructions."""
    return [message["content"] for message in openai_double.calls[-1].body["messages"][1:]]


async def test_a_message_is_answered_in_the_frames_of_its_path(parley: Deployment) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    native = await asker.ask("POST", f"/conversations/{conversation_id}/messages", json={"content": "Hi"})
    assert told(events(native.text))["text"] == "Hello, world."
    team = await asker.ask("POST", f"/api/chats/{conversation_id}/messages", json={"content": "Hi"})
    frames = team_frames(team.text)
    assert [frame["type"] for frame in frames][-1] == "done"
    assert frames[-1]["data"]["message"] == "Stream completed"
    other = await asker.ask("POST", f"/api/chats/{conversation_id}/messages?protocol=native", json={"content": "Hi"})
    assert events(other.text)[-1].kind == "finished"


async def test_a_webhook_answers_the_conversations_it_is_the_agent_of(deploy: Deploy, found: Found) -> None:
    parley, team_id = await deploy(), await found()
    async with working() as workflow:
        admin = await someone(parley, "admin", team_id=team_id)
        made = await admin.ask(
            "POST", "/api/agents", json={**AGENT, "webhook_url": workflow.url, "webhook_token": "secret_token_123"}
        )
        asker = await someone(parley, team_id=team_id)
        conversation_id = await conversation(asker, agent_id=made.json()["id"])
        path, body = f"/api/chats/{conversation_id}/messages", {"content": "Hello, I need help"}
        await asker.ask("POST", path, json=body)
        frames = team_frames((await asker.ask("POST", path, json=body)).text)
        assert frames[0] == {
            "type": "status",
            "data": {"description": "Sending request to n8n webhook...", "level": "info", "done": False},
        }
        assert "".join(frame["data"]["content"] for frame in frames if frame["type"] == "message") == "".join(GREETING)
        said = [(message["role"], message["content"]) for message in workflow.bodies[-1]["messages"]]
        assert said == [
            ("user", "Hello, I need help"),
            ("assistant", "".join(GREETING)),
            ("user", "Hello, I need help"),
        ]
        assert all(message["timestamp"] for message in workflow.bodies[-1]["messages"])
        assert workflow.bodies[-1]["system_prompt"] == AGENT["system_prompt"]
        assert workflow.tokens == ["Bearer secret_token_123"] * 2


async def test_a_model_agent_has_its_own_instructions_and_settings(
    parley: Deployment, openai_double: OpenAIServer, found: Found
) -> None:
    admin = await someone(parley, "admin", team_id=await found())
    made = await admin.ask(
        "POST", "/api/agents", json={**AGENT, "config": {"model": "double-1", "temperature": 0.7, "max_tokens": 2000}}
    )
    conversation_id = await conversation(admin, agent_id=made.json()["id"])
    await say(admin, conversation_id, "Hi")
    body = openai_double.calls[-1].body
    assert body["messages"][0] == {"role": "system", "content": AGENT["system_prompt"]}
    assert (body["temperature"], body["max_tokens"]) == (0.7, 2000)
    await admin.ask("PUT", f"/api/agents/{made.json()['id']}", json={"is_active": False})
    refused = await admin.ask("POST", f"/api/chats/{conversation_id}/messages", json={"content": "Still there?"})
    assert (refused.status_code, refused.json()["code"]) == (409, "agent_unavailable")


async def test_a_deployment_without_a_model_has_its_agents_answer(deploy: Deploy, found: Found) -> None:
    parley = await deploy(openai_api_key=None)
    async with working() as workflow:
        admin = await someone(parley, "admin", team_id=await found())
        made = await admin.ask("POST", "/api/agents", json={**AGENT, "webhook_url": workflow.url})
        answer = await admin.ask("POST", "/conversations/chat", json={"message": "Hi", "agent_id": made.json()["id"]})
        assert answer.json()["response"] == "".join(GREETING)
    nobody = await admin.ask("POST", "/conversations/chat", json={"message": "Hi"})
    assert (nobody.status_code, nobody.json()["code"]) == (503, "no_provider")


async def test_the_flow_opens_conversations_and_goes_on_with_them(parley: Deployment) -> None:
    asker = await someone(parley)
    first = await asker.ask("POST", "/conversations/chat", json={"message": "Hello, how are you?"})
    assert (first.status_code, first.json()["response"], first.json()["role"]) == (200, "Hello, world.", "assistant")
    body = {"message": "And now?", "stream": True, "conversation_id": first.json()["conversation_id"]}
    second = await asker.ask("POST", "/conversations/chat/stream", json=body)
    assert told(events(second.text))["text"] == "Hello, world."
    assert len(await shown(asker, first.json()["conversation_id"])) == 4


async def test_another_wording_branches_and_the_old_branch_can_be_shown_again(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    await say(asker, conversation_id, "One")
    second = await say(asker, conversation_id, "Two")
    before = await shown(asker, conversation_id)
    path = f"/api/v1/conversations/{conversation_id}/messages"
    question_id = (await asker.ask("GET", f"{path}/{second}")).json()["parent_id"]
    openai_double.play(Script.saying("Another answer."))
    edited = await asker.ask("POST", f"{path}/{question_id}/edit", json={"content": "Other"})
    assert events(edited.text)[-1].kind == "finished"
    assert asked(openai_double) == ["One", "Hello, world.", "Other"]
    assert await shown(asker, conversation_id) == [
        *before[:2],
        ("user", "Other"),
        ("assistant", "Another answer."),
    ]
    back = await asker.ask("POST", f"{path}/{second}/activate")
    assert back.status_code < 300, back.text
    assert await shown(asker, conversation_id) == before


async def test_another_answer_takes_the_place_of_the_first_which_stays(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    first = await say(asker, conversation_id, "One")
    path = f"/api/v1/conversations/{conversation_id}/messages"
    openai_double.play(Script.saying("Another answer."))
    again = await asker.ask("POST", f"{path}/{first}/regenerate")
    assert asked(openai_double) == ["One"]
    assert await shown(asker, conversation_id) == [("user", "One"), ("assistant", "Another answer.")]
    siblings = (await asker.ask("GET", f"{path}/{again.headers['x-message-id']}")).json()["siblings"]
    assert siblings == [first]


async def test_of_two_tabs_one_is_told_to_wait(parley: Deployment, openai_double: OpenAIServer, rows: Rows) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    openai_double.play(Script.saying("One two three", stall_at=1))
    first = asyncio.create_task(
        asker.ask("POST", f"/api/v1/conversations/{conversation_id}/messages", json={"content": "First"})
    )
    await openai_double.next_call()
    second = await asker.ask("POST", f"/api/v1/conversations/{conversation_id}/messages", json={"content": "Second"})
    assert (second.status_code, second.json()["code"]) == (409, "conversation_busy")
    assert second.headers["retry-after"]
    openai_double.resume()
    assert events((await first).text)[-1].kind == "finished"
    await say(asker, conversation_id, "Second, again")
    assert [content for role, content in await shown(asker, conversation_id) if role == "user"] == [
        "First",
        "Second, again",
    ]


@pytest.mark.parametrize("what", ["edit", "regenerate"])
async def test_nothing_branches_while_the_database_is_away(deploy: Deploy, what: str, parley: Deployment) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    message_id = await say(asker, conversation_id, "One")
    away = await deploy(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    answer = await asker.at(away).ask(
        "POST",
        f"/api/v1/conversations/{conversation_id}/messages/{message_id}/{what}",
        json={"content": "Other"} if what == "edit" else None,
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


async def test_a_conversation_keeps_its_agent_while_the_database_is_away(
    deploy: Deploy, found: Found, proxy: PostgresProxy
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    async with working() as workflow:
        admin = await someone(parley, "admin", team_id=await found())
        made = await admin.ask("POST", "/api/agents", json={**AGENT, "webhook_url": workflow.url})
        conversation_id = await conversation(admin, agent_id=made.json()["id"])
        path, body = f"/api/chats/{conversation_id}/messages", {"content": "Hello"}
        await admin.ask("POST", path, json=body)
        proxy.refuse()
        last = team_frames((await admin.ask("POST", path, json=body)).text)[-1]
        assert (last["type"], last["data"]["saved"], len(workflow.bodies)) == ("done", False, 2)
        new = await admin.ask("POST", "/conversations/chat", json={"message": "Hi", "agent_id": made.json()["id"]})
        assert (new.status_code, new.json()["code"]) == (503, "database_unavailable")


async def test_an_agent_answers_nobody_who_only_names_its_conversation_while_the_database_is_away(
    deploy: Deploy, found: Found, proxy: PostgresProxy
) -> None:
    parley, team_id = await deploy(DATABASE_URL=proxy.url), await found()
    async with working() as workflow:
        admin = await someone(parley, "admin", team_id=team_id)
        made = await admin.ask("POST", "/api/agents", json={**AGENT, "webhook_url": workflow.url})
        strangers = [
            await someone(parley, team_id=team_id),
            await someone(parley, "admin", team_id=await found()),
            Asker(parley.url),  # a guest
        ]
        conversation_id = await conversation(admin, agent_id=made.json()["id"])
        await say(admin, conversation_id, "Hi")
        proxy.refuse()
        for stranger in strangers:
            to_team = await stranger.ask("POST", f"/api/chats/{conversation_id}/messages", json={"content": "Tell me"})
            assert (to_team.status_code, to_team.json()["code"]) == (503, "database_unavailable")
            answer = await stranger.ask(
                "POST", "/api/v1/chat", json=question("Tell me", conversation_id=conversation_id)
            )
            assert answer.json()["response"]["content"] == "Hello, world.", "the deployment's own model's"
        assert len(workflow.bodies) == 1
        await say(admin, conversation_id, "Hi again")
        assert len(workflow.bodies) == 2


async def test_an_empty_conversation_is_called_by_its_first_question(parley: Deployment) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    for content in ("Do bees dance?\nI wonder.", "And wasps?"):
        await say(asker, conversation_id, content)
        shown = await asker.ask("GET", f"/api/chats/{conversation_id}")
        assert shown.json()["title"] == "Do bees dance?"


async def test_a_title_comes_after_the_first_answer_and_a_users_own_stays(
    deploy: Deploy, openai_double: OpenAIServer
) -> None:
    parley = await deploy(title_model=None)
    asker = await someone(parley)
    openai_double.play(Script.saying("Bees dance."), Script.saying("How Bees Dance"), Script.saying("Yes."))
    conversation_id = await conversation(asker)
    await say(asker, conversation_id, "Do bees dance, and how do they do that?")
    async with asyncio.timeout(5):
        while (await asker.ask("GET", f"/api/chats/{conversation_id}")).json()["title"] != "How Bees Dance":
            pass
    await say(asker, conversation_id, "Really?")
    assert len(openai_double.calls) == 3


async def test_a_branch_that_was_begun_unheard_leaves_the_conversation_free(
    deploy: Deploy, proxy: PostgresProxy
) -> None:
    here, there = await deploy(DATABASE_URL=proxy.url), await deploy()
    asker = await someone(there)
    conversation_id = await conversation(asker)
    answer_id = await say(asker, conversation_id, "One")
    path = f"/api/v1/conversations/{conversation_id}"
    await asker.at(here).ask("GET", path)  # so that there is a connection to lose
    proxy.swallow()
    lost = await asker.at(here).ask("POST", f"{path}/messages/{answer_id}/regenerate")
    assert (lost.status_code, lost.json()["code"]) == (503, "database_unavailable")
    await say(asker, conversation_id, "Two")


async def test_however_many_change_a_conversation_at_once_it_shows_one_path(deploy: Deploy, rows: Rows) -> None:
    instances = [await deploy(), await deploy()]
    asker, chance = await someone(instances[0]), random.Random(1)  # noqa: S311 - nobody is to be surprised
    conversation_id = await conversation(asker)
    for content in ("One", "Two", "Three"):
        await say(asker, conversation_id, content)
    path = f"/api/v1/conversations/{conversation_id}/messages"

    async def change(number: int, said: list[dict[str, Any]]) -> int:
        message = chance.choice(said)
        kind = chance.choice(["send", "edit", "regenerate", "activate", "activate"])
        body = None if kind in {"regenerate", "activate"} else {"content": "More"}
        where = path if kind == "send" else f"{path}/{message['id']}/{kind}"
        return (await asker.at(instances[number % 2]).ask("POST", where, json=body)).status_code

    for _ in range(6):
        said = await rows("SELECT id FROM messages WHERE conversation_id = %s", conversation_id)
        codes = await asyncio.gather(*(change(number, said) for number in range(8)))
        assert {code // 100 for code in codes} <= {2, 4}
        shown = await rows(
            "SELECT id, parent_id FROM messages WHERE conversation_id = %s AND active ORDER BY id", conversation_id
        )
        assert [row["parent_id"] for row in shown] == [None, *(row["id"] for row in shown[:-1])]


async def test_a_message_from_an_instance_whose_clock_is_behind_comes_last(parley: Deployment, rows: Rows) -> None:
    asker = await someone(parley)
    conversation_id = await conversation(asker)
    await say(asker, conversation_id, "One")
    await rows(
        "UPDATE conversations SET answer_id = 'ffffffff-0000-7000-8000-000000000000' WHERE id = %s", conversation_id
    )
    await say(asker, conversation_id, "Two")
    (last,) = await rows("SELECT answer_id FROM conversations WHERE id = %s", conversation_id)
    assert str(last["answer_id"]) > "ffffffff-0000-7000-8000-000000000000"
    assert [content for role, content in await shown(asker, conversation_id) if role == "user"] == ["One", "Two"]
