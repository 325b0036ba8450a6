"""Conversations at rest: to begin, list, see, change and delete."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from lib.ids import new_id
from lib.web.routes.threads import PREFIXES
from tests.fixtures.people import Asker, Found, someone
from tests.fixtures.threads import Thread, converse
from tests.fixtures.web import Deploy, Deployment, Rows

CHATS = "/api/chats"
FIELDS = {
    *("id", "team_id", "user_id", "agent_id", "title", "messages", "metadata", "is_archived", "is_pinned"),
    *("created_at", "updated_at", "has_more"),
}


@pytest.fixture
async def ada(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, team_id=team_id)


async def listed(owner: Asker, **query: Any) -> list[dict[str, Any]]:
    answer = await owner.ask("GET", CHATS, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def titles(owner: Asker, **query: Any) -> list[str]:
    return [each["title"] for each in await listed(owner, **query)]


async def an_agent(rows: Rows, owner: Asker, **columns: Any) -> UUID:
    agent_id = new_id()
    values: dict[str, Any] = {"name": "Helper", "kind": "model"} | columns
    await rows(
        f"INSERT INTO agents (id, team_id, {', '.join(values)})"  # noqa: S608
        f" VALUES (%s, (SELECT team_id FROM users WHERE id = %s), {', '.join(['%s'] * len(values))})",
        *(agent_id, owner.id, *values.values()),
    )
    return agent_id


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_documents_requests_work_under_each_prefix(rows: Rows, ada: Asker, prefix: str) -> None:
    agent_id = await an_agent(rows, ada)
    new = {"agent_id": str(agent_id), "title": "Support Request", "metadata": {"tags": ["support"]}}
    made = await ada.ask("POST", prefix, json=new)
    assert made.status_code == 201, made.text
    assert made.json() | new == made.json()
    assert (set(made.json()), made.json()["user_id"], made.json()["messages"]) == (FIELDS, str(ada.id), [])
    at = f"{prefix}/{made.json()['id']}"
    (shown,) = (await ada.ask("GET", prefix, params={"include_archived": "false", "limit": 50, "offset": 0})).json()
    assert shown == made.json() == (await ada.ask("GET", at)).json()
    changed = await ada.ask("PUT", at, json={"title": "Updated Support Request", "is_archived": False})
    assert (changed.status_code, changed.json()) == (200, shown | {"title": "Updated Support Request"})
    assert (await ada.ask("DELETE", at)).status_code == 204
    assert (await ada.ask("GET", at)).json()["code"] == "conversation_not_found"


async def test_what_the_turn_says_is_in_the_conversation(parley: Deployment, ada: Asker) -> None:
    asked = await ada.ask("POST", "/api/v1/chat", json={"message": {"content": "What is Parley?"}})
    answer = asked.json()["response"]
    shown = (await ada.ask("GET", f"{CHATS}/{answer['conversation_id']}")).json()
    question, reply = shown["messages"]
    assert shown["title"] == "What is Parley?"
    assert (question["role"], question["content"], question["parent_id"]) == ("user", "What is Parley?", None)
    assert (reply["role"], reply["content"], reply["id"]) == ("assistant", answer["content"], answer["message_id"])
    assert (reply["parent_id"], reply["status"], reply["model"]) == (question["id"], "complete", answer["model"])
    assert (reply["active"], reply["siblings"], reply["feedback"]) == (True, [], None)


async def test_a_conversation_begins_with_nothing_but_a_wish(ada: Asker, rows: Rows) -> None:
    for body in (b"", b"{}"):
        made = await ada.ask("POST", CHATS, content=body, headers={"Content-Type": "application/json"})
        assert (made.status_code, made.json()["title"], made.json()["metadata"]) == (201, "New conversation", {})
    kept = await rows("SELECT titled_by FROM conversations WHERE user_id = %s", ada.id)
    assert {row["titled_by"] for row in kept} == {"question"}


async def test_an_agent_that_is_not_there_is_none(parley: Deployment, rows: Rows, ada: Asker, found: Found) -> None:
    stranger = await someone(parley, team_id=await found())
    thread = await converse(rows, ada)
    for agent_id in (
        uuid4(),
        await an_agent(rows, stranger),
        await an_agent(rows, ada, is_active=False),
        await an_agent(rows, ada, deleted_at="2026-01-01"),
    ):
        for method, path in (("POST", CHATS), ("PUT", f"{CHATS}/{thread.id}")):
            answer = await ada.ask(method, path, json={"agent_id": str(agent_id)})
            assert (answer.status_code, answer.json()["code"]) == (404, "agent_not_found")
    assert len(await listed(ada)) == 1


async def test_a_new_conversation_makes_room_for_itself(deploy: Deploy, rows: Rows, team_id: UUID) -> None:
    owner = await someone(await deploy(retention_conversations=2), team_id=team_id)
    for number in range(4):
        await owner.ask("POST", CHATS, json={"title": f"Talk {number}"})
    assert await titles(owner) == ["Talk 3", "Talk 2"]


async def test_a_list_is_in_the_order_in_which_something_was_said_last(rows: Rows, ada: Asker) -> None:
    for ago in (20, 10, 30):
        await converse(rows, ada, title=f"{ago} s ago", ago=ago)
    assert await titles(ada) == ["10 s ago", "20 s ago", "30 s ago"]
    assert await titles(ada, limit=1, offset=1) == ["20 s ago"]


async def test_pages_by_cursor_hold_each_conversation_once_also_where_dates_are_the_same(
    rows: Rows, ada: Asker
) -> None:
    for number in range(7):
        await converse(rows, ada, title=str(number))
    await rows("UPDATE conversations SET updated_at = now() WHERE user_id = %s", ada.id)
    seen, after = list[str](), dict[str, str]()
    while page := await listed(ada, limit=3, **after):
        seen += [each["title"] for each in page]
        after = {"after": page[-1]["id"]}
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


async def test_a_cursor_that_is_gone_or_anothers_is_said_to_be_none(parley: Deployment, rows: Rows, ada: Asker) -> None:
    other = await converse(rows, await someone(parley))
    for cursor in (uuid4(), other.id):
        answer = await ada.ask("GET", CHATS, params={"after": str(cursor)})
        assert (answer.status_code, answer.json()["code"]) == (404, "conversation_not_found")


async def test_what_was_put_away_is_listed_only_when_asked_for(rows: Rows, ada: Asker) -> None:
    await converse(rows, ada, title="pinned", is_pinned=True)
    await converse(rows, ada, title="open")
    await converse(rows, ada, title="away", is_archived=True)
    assert await titles(ada) == ["open", "pinned"]
    assert await titles(ada, include_archived=True) == ["away", "open", "pinned"]
    assert await titles(ada, archived=True) == ["away"]
    assert await titles(ada, archived=False, include_archived=True) == ["open", "pinned"]
    assert await titles(ada, pinned=True) == ["pinned"]
    assert await titles(ada, pinned=False) == ["open"]


async def test_a_list_shows_the_newest_messages_of_each_oldest_first(rows: Rows, ada: Asker) -> None:
    await converse(rows, ada, "1", "2", "3", "4", "5", title="long")
    await converse(rows, ada, title="silent")
    for query, shown in (({}, ["4", "5"]), ({"messages": 0}, []), ({"messages": 100}, ["1", "2", "3", "4", "5"])):
        silent, long = await listed(ada, **query)
        assert [message["content"] for message in long["messages"]] == shown
        assert long["has_more"] is (len(shown) < 5)
        assert (silent["messages"], silent["has_more"]) == ([], False)


async def test_only_the_path_that_is_shown_is_in_a_conversation(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "Which?")
    first = await thread.say("This.", active=False)
    second = await thread.say("That.", after=thread.said[0])
    shown = (await ada.ask("GET", f"{CHATS}/{thread.id}")).json()
    assert [message["content"] for message in shown["messages"]] == ["Which?", "That."]
    assert shown["messages"][1]["siblings"] == [str(first)]
    assert shown["messages"][1]["id"] == str(second)


async def test_a_conversation_is_shown_with_so_many_messages(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, *(str(number) for number in range(6)))
    for messages, shown, more in ((4, "2345", True), (6, "012345", False), (0, "", True)):
        answer = (await ada.ask("GET", f"{CHATS}/{thread.id}", params={"messages": messages})).json()
        assert ("".join(each["content"] for each in answer["messages"]), answer["has_more"]) == (shown, more)


async def test_an_answer_holds_no_more_than_a_function_can_send(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, *(f"{number}" + "é" * 500_000 for number in range(6)))
    shown = (await ada.ask("GET", f"{CHATS}/{thread.id}")).json()
    assert ([each["content"][0] for each in shown["messages"]], shown["has_more"]) == (["3", "4", "5"], True)
    await converse(rows, ada, "last", title="newer")
    newer, older = await listed(ada, messages=100)
    assert [each["content"] for each in newer["messages"]] == ["last"]
    assert ([each["content"][0] for each in older["messages"]], older["has_more"]) == (["3", "4", "5"], True)


async def test_one_message_is_shown_however_long_it_is(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "x" * 4_000_000)
    shown = (await ada.ask("GET", f"{CHATS}/{thread.id}")).json()
    assert (len(shown["messages"][0]["content"]), shown["has_more"]) == (4_000_000, False)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_what_a_change_does_not_name_stays(rows: Rows, ada: Asker, method: str) -> None:
    thread = await converse(rows, ada, "Hello", ago=60)
    before = (await ada.ask("GET", f"{CHATS}/{thread.id}")).json()
    agent_id = str(await an_agent(rows, ada))
    for change in (
        {"title": "Another"},
        {"is_archived": True},
        {"is_pinned": True},
        {"metadata": {"tags": ["a", 0.5, 10**40, None]}},
        {"agent_id": agent_id},
        {"agent_id": None},
        {},
    ):
        answer = await ada.ask(method, f"{CHATS}/{thread.id}", json=change)
        before |= change
        assert (answer.status_code, answer.json()) == (200, before)
    assert (await rows("SELECT titled_by FROM conversations WHERE id = %s", thread.id))[0]["titled_by"] == "user"


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"title": "  "},
        {"title": None},
        {"title": "x" * 201},
        {"title": "a\0b"},
        {"is_archived": "yes"},
        {"is_archived": None},
        {"is_pinned": 1},
        {"metadata": None},
        {"metadata": []},
        {"metadata": {"a": "\0"}},
        {"metadata": {"a": "x" * 16_000}},
        {"agent_id": "none"},
        {"user_id": "0b2f4a55-8c1d-4f6e-9a37-5d1c0e7b9f42"},
        {"team_id": "0b2f4a55-8c1d-4f6e-9a37-5d1c0e7b9f42"},
        {"titled_by": "model"},
        {"messages": []},
    ],
    ids=str,
)
async def test_what_may_not_be_set_is_refused(rows: Rows, ada: Asker, change: dict[str, Any]) -> None:
    thread = await converse(rows, ada)
    before = await rows("SELECT * FROM conversations WHERE id = %s", thread.id)
    answer = await ada.ask("PUT", f"{CHATS}/{thread.id}", json=change)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert await rows("SELECT * FROM conversations WHERE id = %s", thread.id) == before


async def test_a_deleted_conversation_takes_all_that_was_said_along(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "Hello", "Hi")
    kept = await converse(rows, ada, "Hello", "Hi")
    assert (await ada.ask("DELETE", f"{CHATS}/{thread.id}")).status_code == 204
    assert (await ada.ask("DELETE", f"{CHATS}/{thread.id}")).status_code == 404
    left = await rows("SELECT conversation_id FROM messages WHERE conversation_id = ANY(%s)", [thread.id, kept.id])
    assert [row["conversation_id"] for row in left] == [kept.id, kept.id]


async def test_lists_hold_ones_own_alone(parley: Deployment, rows: Rows, ada: Asker, team_id: UUID) -> None:
    teammate = await someone(parley, "admin", team_id=team_id)
    theirs: Thread = await converse(rows, teammate, "Mine")
    await rows(
        "INSERT INTO conversations (id, team_id, user_id, title) VALUES (%s, %s, NULL, 'a guest')", new_id(), team_id
    )
    assert await listed(ada) == []
    assert [each["id"] for each in await listed(teammate)] == [str(theirs.id)]


async def test_a_programs_key_reads_or_changes_as_it_was_made_for(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada)
    reader, writer, both = await ada.key("read"), await ada.key("chat"), await ada.key("read", "chat")
    for program, method, status in (
        (reader, "GET", 200),
        (reader, "DELETE", 403),
        (reader, "PATCH", 403),
        (writer, "GET", 403),
        (writer, "PUT", 403),
        (writer, "PATCH", 403),
        (both, "PATCH", 200),
        (writer, "DELETE", 204),
    ):
        body = {"title": "Changed"} if method in {"PUT", "PATCH"} else None
        assert (await program.ask(method, f"{CHATS}/{thread.id}", json=body)).status_code == status, method


async def test_whoever_has_no_account_has_no_conversations(parley: Deployment) -> None:
    for method in ("GET", "POST"):
        answer = await Asker(parley.url).ask(method, CHATS)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
