"""Titles of conversations as clients see them: made after the first answer, and never in its way."""

import asyncio

from lib.unhindered import settle
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.fixtures.web import Deploy, Deployment

ANSWER = Script.saying("With one command.")
TITLE = Script.saying('"Deploying on Vercel"')
TITLES = {"title_model": "openai:titles"}


async def titled(openai_double: OpenAIServer, *, calls: int = 2) -> None:
    """Wait until the model was asked so often, and its last answer is dealt with."""
    while len(openai_double.calls) < calls:
        await openai_double.next_call()
    await settle()


async def title_of(parley: Deployment) -> tuple[str, str]:
    """Return what the newest conversation is called, and by its id."""
    newest, *_ = (await parley.client.get("/api/v1/conversations")).json()
    return newest["title"], newest["id"]


async def test_a_conversation_is_named_once_its_first_question_has_an_answer(
    deploy: Deploy, openai_double: OpenAIServer
) -> None:
    parley = await deploy(**TITLES)
    await parley.sign_up()
    openai_double.play(ANSWER, TITLE)
    await parley.ask("How do I deploy?\nOn Vercel.")
    await titled(openai_double)
    title, conversation_id = await title_of(parley)
    assert title == "Deploying on Vercel"
    assert [call.body["model"] for call in openai_double.calls] == ["double-1", "titles"]
    assert "On Vercel." in openai_double.calls[1].body["messages"][-1]["content"]
    assert "With one command." in openai_double.calls[1].body["messages"][-1]["content"]

    openai_double.play(ANSWER)
    await parley.ask("And then?", conversation_id=conversation_id)
    await settle()
    assert (await title_of(parley))[0] == "Deploying on Vercel"
    assert len(openai_double.calls) == 3


async def test_an_answer_does_not_wait_for_its_title(deploy: Deploy, openai_double: OpenAIServer) -> None:
    parley = await deploy(**TITLES)
    await parley.sign_up()
    gate = asyncio.Semaphore(0)
    openai_double.play(ANSWER, TITLE.but(gate=gate))
    frames = await parley.stream("How do I deploy?")
    assert frames[-1]["status"] == "success"
    assert (await title_of(parley))[0] == "How do I deploy?"
    for _ in TITLE.pieces:
        gate.release()
    await titled(openai_double)
    assert (await title_of(parley))[0] == "Deploying on Vercel"


async def test_a_title_that_its_owner_gave_meanwhile_stays(deploy: Deploy, openai_double: OpenAIServer) -> None:
    parley = await deploy(**TITLES)
    await parley.sign_up()
    gate = asyncio.Semaphore(0)
    openai_double.play(ANSWER, TITLE.but(gate=gate))
    await parley.stream("How do I deploy?")
    _, conversation_id = await title_of(parley)
    changed = await parley.client.put(f"/api/v1/conversations/{conversation_id}", json={"title": "Mine"})
    assert changed.status_code == 200
    for _ in TITLE.pieces:
        gate.release()
    await titled(openai_double)
    assert (await title_of(parley))[0] == "Mine"


async def test_a_model_that_fails_leaves_the_first_line_of_the_question(
    deploy: Deploy, openai_double: OpenAIServer
) -> None:
    parley = await deploy(**TITLES)
    await parley.sign_up()
    openai_double.play(ANSWER, Script(status=429))
    await parley.ask("How do I deploy?\nOn Vercel.")
    await titled(openai_double)
    assert (await title_of(parley))[0] == "How do I deploy?"


async def test_without_titles_no_model_is_asked_for_one(deploy: Deploy, openai_double: OpenAIServer) -> None:
    parley = await deploy(title_model="off")
    await parley.sign_up()
    await parley.ask("How do I deploy?\nOn Vercel.")
    await settle()
    assert (await title_of(parley))[0] == "How do I deploy?"
    assert len(openai_double.calls) == 1
