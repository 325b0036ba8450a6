"""Search in what was said."""

from typing import Any
from uuid import UUID

import pytest

from tests.fixtures.people import Asker, Found, someone
from tests.fixtures.threads import converse
from tests.fixtures.web import Deployment, Rows


@pytest.fixture
async def ada(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, team_id=team_id)


async def hits_of(owner: Asker, q: str, **query: Any) -> list[dict[str, Any]]:
    answer = await owner.ask("GET", "/conversations/search", params={"q": q, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


def marked(hit: dict[str, Any]) -> list[str]:
    return [hit["snippet"][start:end] for start, end in hit["highlights"]]


async def test_a_message_is_found_by_its_words_whatever_their_form(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "Where do quick foxes run?", "A fox runs in the woods.", title="Animals")
    for query in ("fox", "FOXES", "running fox", "fox woods", '"runs in the woods"'):
        hits = await hits_of(ada, query)
        assert str(thread.said[1]) in {hit["message_id"] for hit in hits}, query
    assert await hits_of(ada, '"woods fox"') == await hits_of(ada, "fox -woods -quick") == []
    (hit,) = await hits_of(ada, "woods")
    assert hit == {
        "conversation_id": str(thread.id),
        "title": "Animals",
        "is_archived": False,
        "message_id": str(thread.said[1]),
        "role": "assistant",
        "active": True,
        "timestamp": hit["timestamp"],
        "snippet": "A fox runs in the woods.",
        "highlights": [[18, 23]],
    }


async def test_what_fits_best_comes_first(rows: Rows, ada: Asker) -> None:
    await converse(
        rows,
        ada,
        "A long text about many other things, the weather and the time, that says invoice in passing, once, and ends.",
        "Nothing.",
        "The invoice: invoices, and how an invoice is sent.",
        "It was billed.",
    )
    hits = await hits_of(ada, "invoice")
    assert [hit["snippet"].split()[0] for hit in hits] == ["The", "weather"]
    assert marked(hits[0]) == ["invoice", "invoices", "invoice"]
    assert await hits_of(ada, "invoice", limit=1) == hits[:1]
    assert await hits_of(ada, "invoice", limit=1, offset=1) == hits[1:]


async def test_the_word_as_it_was_typed_comes_before_its_other_forms(rows: Rows, ada: Asker) -> None:
    await converse(rows, ada, "universal truth", "university truth")
    assert [marked(hit) for hit in await hits_of(ada, "universal")] == [["universal"], ["university"]]


async def test_titles_are_found_too(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "Hello", title="Quarterly figures", is_archived=True)
    (hit,) = await hits_of(ada, "quarterly figure")
    assert (hit["conversation_id"], hit["message_id"], hit["role"], hit["active"]) == (str(thread.id), None, None, None)
    assert (marked(hit), hit["is_archived"]) == (["Quarterly", "figures"], True)


async def test_other_branches_are_found_and_said_to_be_others(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "Which tree?")
    await thread.say("An oak.", active=False)
    await thread.say("An elm.", after=thread.said[0])
    assert [hit["active"] for hit in await hits_of(ada, "oak or elm")] == [True, False]


@pytest.mark.parametrize("query", ["", "  ", "the", "and the of", "!!!", "''", '"', "-", "()", "the or and"])
async def test_a_query_that_says_nothing_finds_nothing(rows: Rows, ada: Asker, query: str) -> None:
    await converse(rows, ada, "the and of", "!!! '' \" - ()", title="the")
    assert await hits_of(ada, query) == []


async def test_a_query_may_say_what_is_not_wanted_alone(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "apples", "", title="pears")
    assert {hit["message_id"] for hit in await hits_of(ada, "-apples")} == {None, str(thread.said[1])}


@pytest.mark.parametrize("query", ["a\0b", "x" * 501])
async def test_a_query_that_cannot_be_is_refused(ada: Asker, query: str) -> None:
    answer = await ada.ask("GET", "/conversations/search", params={"q": query})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("query", ["a & b | !c <-> d:*", "\\", "'; DROP TABLE messages; --", "%_", "((((", "fox:*A"])
async def test_no_query_is_taken_for_anything_but_words(rows: Rows, ada: Asker, query: str) -> None:
    await converse(rows, ada, "fox")
    await hits_of(ada, query)
    assert len(await hits_of(ada, "fox")) == 1


async def test_a_snippet_is_the_text_and_no_html_and_nothing_but_what_fits_is_highlighted(
    rows: Rows, ada: Asker
) -> None:
    text = "\ue001<b>no\ue000te</b> 🦊 \ue000 fox \ue001 &amp; <a href='x'>fox</a> StartSel=fox \ue000"
    await converse(rows, ada, text)
    (hit,) = await hits_of(ada, "fox")
    assert "\ue000" not in hit["snippet"]
    assert "\ue001" not in hit["snippet"]
    assert "🦊" in hit["snippet"]
    assert "&amp;" in hit["snippet"]
    assert (marked(hit), hit["snippet"].count("fox")) == (["fox"] * 3, 3)


async def test_a_long_text_is_found_by_its_beginning_and_shown_around_what_fits(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "filler " * 5_000 + "needle " + "filler " * 5_000 + "haystack")
    (hit,) = await hits_of(ada, "needle")
    assert (marked(hit), hit["message_id"]) == (["needle"], str(thread.said[0]))
    assert len(hit["snippet"]) < 500
    assert await hits_of(ada, "haystack") == []  # beyond 50,000 characters


async def test_one_finds_ones_own_alone(
    parley: Deployment, rows: Rows, ada: Asker, team_id: UUID, found: Found
) -> None:
    for owner in (await someone(parley, "admin", team_id=team_id), await someone(parley, team_id=await found())):
        await converse(rows, owner, "secret", title="secret")
        assert len(await hits_of(owner, "secret")) == 2
    assert await hits_of(ada, "secret") == []
