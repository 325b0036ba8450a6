"""What was said: pages of it, one message, what its reader thinks of it, and which branch is shown."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from lib.ids import new_id
from tests.fixtures.people import Asker, someone
from tests.fixtures.threads import FIRST, Thread, converse
from tests.fixtures.web import Deployment, Rows


@pytest.fixture
async def ada(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, team_id=team_id)


async def page(thread: Thread, **query: Any) -> dict[str, Any]:
    answer = await thread.owner.ask("GET", f"/conversations/{thread.id}/messages", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def texts(thread: Thread, **query: Any) -> tuple[str, bool]:
    shown = await page(thread, **query)
    return "".join(message["content"] for message in shown["messages"]), shown["has_more"]


async def test_pages_go_back_and_forth_without_a_gap(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, *"0123456789")
    said = thread.said
    assert await texts(thread) == ("0123456789", False)
    assert await texts(thread, limit=4) == ("6789", True)
    assert await texts(thread, limit=4, before=said[6]) == ("2345", True)
    assert await texts(thread, limit=4, before=said[2]) == ("01", False)
    assert await texts(thread, limit=4, before=said[0]) == ("", False)
    assert await texts(thread, limit=4, after=said[1]) == ("2345", True)
    assert await texts(thread, limit=4, after=said[5]) == ("6789", False)
    assert await texts(thread, limit=4, after=said[9]) == ("", False)


async def test_a_page_ends_before_it_is_more_than_a_function_can_send(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, *(f"{number}" + "é" * 600_000 for number in range(5)))
    seen, before = "", dict[str, str]()
    more = True
    while more:
        shown = await page(thread, **before)
        assert sum(len(message["content"].encode()) for message in shown["messages"]) < 4_500_000
        seen = "".join(message["content"][0] for message in shown["messages"]) + seen
        before, more = {"before": shown["messages"][0]["id"]}, shown["has_more"]
    assert seen == "01234"


async def test_a_message_tells_all_that_is_kept_of_it(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "Why?")
    other = await thread.say("Because.", active=False)
    sources = '[{"index": 1, "title": "The book", "cited": true}]'
    parts = '[{"type": "text", "text": "So."}, {"type": "reasoning", "text": "Hm."}]'
    answer = await thread.say(
        "",
        after=thread.said[0],
        parts=parts,
        sources=sources,
        model="model-1",
        status="failed",
        error_code="provider_error",
        created_at="2026-01-01T10:00:00Z",
        finished_at="2026-01-01T10:00:05Z",
    )
    wanted = {
        "id": str(answer),
        "conversation_id": str(thread.id),
        "parent_id": str(thread.said[0]),
        "role": "assistant",
        "content": "So.",
        "timestamp": "2026-01-01T10:00:05Z",
        "created_at": "2026-01-01T10:00:00Z",
        "status": "failed",
        "active": True,
        "siblings": [str(other)],
        "reasoning": "Hm.",
        "sources": [{"index": 1, "title": "The book", "cited": True}],
        "model": "model-1",
        "error_code": "provider_error",
        "feedback": None,
        "feedback_comment": None,
    }
    assert (await page(thread))["messages"][1] == wanted
    assert (await ada.ask("GET", f"/conversations/{thread.id}/messages/{answer}")).json() == wanted


async def test_an_answer_that_is_being_written_is_there_without_a_word(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "Why?")
    await thread.say("", parts="[]", status="streaming")
    _, answer = (await page(thread))["messages"]
    assert (answer["content"], answer["status"], answer["reasoning"]) == ("", "streaming", None)


async def a_tree(rows: Rows, owner: Asker) -> tuple[Thread, dict[str, UUID]]:
    r"""Return a conversation whose first question was worded anew, and one of whose answers was wanted again.

    a - b - c - d    shown: a b c e
              \ e
    f - g
    """
    thread = await converse(rows, owner, "a", "b", "c")
    names = dict(zip("abc", thread.said, strict=True))
    names["d"] = await thread.say("d", active=False)
    names["f"] = await thread.say("f", after=FIRST, active=False)
    names["g"] = await thread.say("g", active=False)
    names["e"] = await thread.say("e", after=names["c"])
    return thread, names


async def test_the_whole_tree_is_shown_with_its_branches(rows: Rows, ada: Asker) -> None:
    thread, names = await a_tree(rows, ada)
    assert await texts(thread) == ("abce", False)
    assert await texts(thread, all=True) == ("abcdfge", False)
    assert await texts(thread, all=True, limit=3) == ("fge", True)
    assert await texts(thread, all=True, limit=3, before=names["f"]) == ("bcd", True)
    assert await texts(thread, all=True, limit=3, after=names["a"]) == ("bcd", True)
    assert await texts(thread, all=True, limit=3, after=names["d"]) == ("fge", False)
    shown = {message["content"]: message for message in (await page(thread, all=True))["messages"]}
    assert {name: each["active"] for name, each in shown.items()} == {name: name in "abce" for name in "abcdefg"}
    assert {name: each["siblings"] for name, each in shown.items() if each["siblings"]} == {
        name: [str(names[other])] for name, other in ("af", "fa", "de", "ed")
    }


@pytest.mark.parametrize(
    ("switches", "shown"),
    [
        ("d", "abcd"),
        ("f", "fg"),
        ("g", "fg"),
        ("fa", "abce"),
        ("fb", "abce"),
        ("fd", "abcd"),
        ("dfc", "abce"),
        ("a", "abce"),
    ],
)
async def test_a_branch_is_switched_to_with_what_leads_to_it_and_the_newest_that_follows(
    rows: Rows, ada: Asker, switches: str, shown: str
) -> None:
    thread, names = await a_tree(rows, ada)
    before = await rows("SELECT updated_at, title FROM conversations WHERE id = %s", thread.id)
    for name in switches:
        answer = await ada.ask("POST", f"/conversations/{thread.id}/messages/{names[name]}/activate")
        assert answer.status_code == 200, answer.text
    assert "".join(message["content"] for message in answer.json()["messages"]) == shown  # pyright: ignore[reportPossiblyUnboundVariable]
    assert "".join(await thread.shown()) == shown
    assert await texts(thread, all=True) == ("abcdfge", False)
    assert await rows("SELECT updated_at, title FROM conversations WHERE id = %s", thread.id) == before


async def test_no_branch_is_switched_to_while_an_answer_is_written(rows: Rows, ada: Asker) -> None:
    thread, names = await a_tree(rows, ada)
    for busy, status in (("10 s", 409), ("-10 s", 200)):
        await rows("UPDATE conversations SET busy_until = now() + %s::interval WHERE id = %s", busy, thread.id)
        answer = await ada.ask("POST", f"/conversations/{thread.id}/messages/{names['f']}/activate")
        assert answer.status_code == status
        assert (answer.json().get("code") == "conversation_busy") is (status == 409)
        assert "".join(await thread.shown()) == ("abce" if status == 409 else "fg")


async def test_switches_at_once_leave_one_whole_path(rows: Rows, ada: Asker) -> None:
    thread, names = await a_tree(rows, ada)
    path = f"/conversations/{thread.id}/messages"
    for _ in range(10):
        answers = await asyncio.gather(*(ada.ask("POST", f"{path}/{names[name]}/activate") for name in "fdegb"))
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert "".join(await thread.shown()) in {"fg", "abcd", "abce"}


async def test_a_switch_that_waited_for_another_begins_anew(database_url: str, rows: Rows, ada: Asker) -> None:
    thread, names = await a_tree(rows, ada)
    path = f"/conversations/{thread.id}/messages"
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("UPDATE conversations SET updated_at = updated_at WHERE id = %s", [thread.id])
        await other.execute(
            "UPDATE messages SET active = NOT active WHERE conversation_id = %s AND id <> %s", [thread.id, names["d"]]
        )
        switching = asyncio.create_task(ada.ask("POST", f"{path}/{names['d']}/activate"))
        waiting = "SELECT pid FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
        async with asyncio.timeout(10):
            while not await rows(waiting, other.info.backend_pid):
                pass
        await other.commit()
    assert (await switching).status_code == 200
    assert "".join(await thread.shown()) == "abcd"


async def test_an_answer_is_rated_and_its_rating_taken_back(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "Why?", "Because.")
    at = f"/conversations/{thread.id}/messages/{thread.said[1]}/feedback"
    for given in ({"rating": "down", "comment": "It says nothing."}, {"rating": "up"}):
        rated = (await ada.ask("PUT", at, json=given)).json()
        assert (rated["feedback"], rated["feedback_comment"]) == (given["rating"], given.get("comment"))
        assert (await page(thread))["messages"][1] == rated
    assert (await ada.ask("DELETE", at)).status_code == 204
    assert (await page(thread))["messages"][1] == rated | {"feedback": None}  # pyright: ignore[reportPossiblyUnboundVariable]


@pytest.mark.parametrize("given", [{}, {"rating": "meh"}, {"rating": "up", "comment": "x" * 2001}, {"comment": "a\0"}])
async def test_what_is_no_rating_is_refused(rows: Rows, ada: Asker, given: dict[str, Any]) -> None:
    thread = await converse(rows, ada, "Why?", "Because.")
    answer = await ada.ask("PUT", f"/conversations/{thread.id}/messages/{thread.said[1]}/feedback", json=given)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_program_that_may_only_chat_is_shown_nothing_that_was_said(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "Why?", "Because.")
    other = await thread.say("For no reason.", after=thread.said[0], active=False)
    chats, both = await ada.key("chat"), await ada.key("chat", "read")
    path = f"/conversations/{thread.id}/messages/{other}"
    for method, more, body in (
        ("GET", "", None),
        ("PUT", "/feedback", {"rating": "up"}),
        ("POST", "/activate", None),
    ):
        refused = await chats.ask(method, path + more, json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing"), more
        assert (await both.ask(method, path + more, json=body)).status_code == 200, more
    assert await thread.shown() == ["Why?", "For no reason."]
    assert (await chats.ask("DELETE", f"{path}/feedback")).status_code == 204


async def test_a_question_has_no_rating(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "Why?", "Because.")
    at = f"/conversations/{thread.id}/messages/{thread.said[0]}/feedback"
    for answer in (await ada.ask("PUT", at, json={"rating": "up"}), await ada.ask("DELETE", at)):
        assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")


async def test_a_message_is_in_its_own_conversation_alone(
    parley: Deployment, rows: Rows, ada: Asker, team_id: UUID
) -> None:
    mine, other = await converse(rows, ada, "Mine?", "Mine."), await converse(rows, ada, "Other?", "Other.")
    theirs = await converse(rows, await someone(parley, team_id=team_id), "Theirs?", "Theirs.")
    before = await rows("SELECT * FROM messages WHERE team_id = %s ORDER BY id", team_id)
    for message_id in (other.said[1], theirs.said[1], uuid4(), mine.id):
        path = f"/conversations/{mine.id}/messages/{message_id}"
        for method, more, body in (
            ("GET", "", None),
            ("PUT", "/feedback", {"rating": "up"}),
            ("DELETE", "/feedback", None),
            ("POST", "/activate", None),
        ):
            answer = await ada.ask(method, path + more, json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")
    assert await rows("SELECT * FROM messages WHERE team_id = %s ORDER BY id", team_id) == before


async def test_a_page_is_on_one_side_of_a_message(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "1")
    both = {"before": str(thread.said[0]), "after": str(thread.said[0])}
    answer = await ada.ask("GET", f"/conversations/{thread.id}/messages", params=both)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_a_long_branch_is_switched_to_whole(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada)
    ids = [[new_id() for _ in range(2_000)] for _ in range(2)]
    for branch, shown in zip(ids, (True, False), strict=True):
        await rows(
            "INSERT INTO messages (id, team_id, conversation_id, parent_id, active, role, status, parts)"
            " SELECT said.id, users.team_id, %s, lag(said.id) OVER (ORDER BY place), %s,"
            " CASE place %% 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'complete', '[]'"
            " FROM users, unnest(%s::uuid[]) WITH ORDINALITY AS said (id, place) WHERE users.id = %s",
            *(thread.id, shown, branch, ada.id),
        )
    answer = await ada.ask("POST", f"/conversations/{thread.id}/messages/{ids[1][1000]}/activate")
    assert answer.status_code == 200, answer.text
    shown = await rows("SELECT id FROM messages WHERE conversation_id = %s AND active ORDER BY id", thread.id)
    assert [row["id"] for row in shown] == ids[1]
