"""Turns at rest, on a real Postgres."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from typing import Literal
from uuid import UUID

import pytest

from lib.db.events import NO_CLIENT
from lib.db.session import Connection, Database
from lib.db.tenant import EVERY_TEAM, Asker, Tenant
from lib.errors import AgentNotFound, ConversationBusy, ConversationNotFound, MessageNotFound, Unauthenticated
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.store import answers, retention, turn_keys, turns, users
from lib.store.users import NewUser
from lib.turns import Begun, Branch, EndedTurn, KeyTaken, Moved, Repeat, TurnKey, TurnRecord, TurnResult, title_of
from tests.fixtures.web import Rows

TEAM = Tenant(DEFAULT_TEAM_ID)
ANSWER = TurnResult("complete", "An answer.")


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def user_id(database: Database) -> UUID:
    user_id = new_id()
    new = NewUser(id=user_id, team_id=DEFAULT_TEAM_ID, email=f"{user_id}@example.com", password_hash=None)
    async with database.one_statement(EVERY_TEAM) as connection:
        await users.create(connection, new, client=NO_CLIENT)
    return user_id


def record(user_id: UUID | None, question: str = "A question?", *, after: TurnRecord | None = None) -> TurnRecord:
    conversation_id = after.conversation_id if after else new_id()
    return TurnRecord(DEFAULT_TEAM_ID, user_id, conversation_id, new_id(), new_id(), question, opens=after is None)


def result(text: str = "An answer.") -> TurnResult:
    return TurnResult("complete", text)


async def begin(connection: Connection, turn: TurnRecord) -> Begun:
    return await turns.begin(connection, turn, busy=60)


async def go_on(connection: Connection, turn: TurnRecord, *, limit: int = 20) -> Begun:
    return await turns.continue_(connection, turn, limit=limit, busy=60)


async def save_whole(connection: Connection, turn: TurnRecord, result: TurnResult) -> bool:
    return await answers.save_whole(connection, EndedTurn(turn, result, begun=False)) == "kept"


async def said(connection: Connection, turn: TurnRecord, answer: str) -> Begun:
    """Have a turn go on and be answered."""
    begun = await go_on(connection, turn)
    assert await answers.finish(connection, turn, result(answer))
    return begun


def texts(begun: Begun) -> list[str]:
    return [message.text for message in begun.history]


async def test_a_turn_that_goes_on_sees_the_last_messages_oldest_first(database: Database, user_id: UUID) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await begin(connection, first)
        assert await answers.finish(connection, first, result("Two"))
        second = await said(connection, record(user_id, "Three", after=first), "Four")
        assert [(message.role, message.text) for message in second.history] == [("user", "One"), ("assistant", "Two")]
        third = await go_on(connection, record(user_id, "Five", after=first), limit=2)
        assert texts(third) == ["Three", "Four"]


async def test_a_failed_answer_is_not_said_again_and_an_interrupted_one_is(database: Database, user_id: UUID) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await begin(connection, first)
        await answers.finish(connection, first, replace(result("Half"), outcome="failed"))
        second = record(user_id, "Two", after=first)
        await go_on(connection, second)
        await answers.finish(connection, second, replace(result("Part"), outcome="interrupted"))
        third = await go_on(connection, record(user_id, "Three", after=first))
    assert texts(third) == ["One", "Two", "Part"]


async def test_another_tenants_conversation_cannot_be_continued_nor_saved_into(
    database: Database, user_id: UUID, rows: Rows
) -> None:
    mine = record(user_id)
    (team,) = await rows(
        "INSERT INTO teams (name, slug) VALUES ('Other', %s) RETURNING id", f"other-{new_id().hex[-12:]}"
    )
    theirs = replace(record(None, after=mine), team_id=team["id"])
    async with database.one_statement(TEAM) as connection:
        await begin(connection, mine)
    async with database.one_statement(Tenant(team["id"])) as connection:
        with pytest.raises(ConversationNotFound):
            await go_on(connection, theirs)
        assert not await save_whole(connection, theirs, result())
        assert not await answers.finish(connection, replace(mine, team_id=team["id"]), result())
    assert len(await rows("SELECT id FROM messages WHERE conversation_id = %s", mine.conversation_id)) == 2


async def test_nobody_begins_for_an_account_that_is_not_there(database: Database) -> None:
    turn = record(new_id())
    async with database.one_statement(Tenant(DEFAULT_TEAM_ID, Asker(turn.user_id))) as connection:
        with pytest.raises(Unauthenticated):
            await begin(connection, turn)


async def test_saving_a_whole_turn_twice_at_once_keeps_it_once(database: Database, user_id: UUID, rows: Rows) -> None:
    turn, kept = record(user_id), result()

    async def save() -> bool:
        async with database.one_statement(TEAM) as connection:
            return await save_whole(connection, turn, kept)

    await asyncio.gather(*(save() for _ in range(8)), return_exceptions=False)
    assert await save()
    kept_rows = await rows("SELECT role FROM messages WHERE conversation_id = %s ORDER BY id", turn.conversation_id)
    assert [row["role"] for row in kept_rows] == ["user", "assistant"]
    assert len(await rows("SELECT id FROM interaction_logs WHERE message_id = %s", turn.answer_id)) == 1


async def test_saving_a_turn_whole_completes_one_that_was_begun_after_all(
    database: Database, user_id: UUID, rows: Rows
) -> None:
    turn = record(user_id)
    async with database.one_statement(TEAM) as connection:
        await begin(connection, turn)
        for _ in range(2):
            assert await save_whole(connection, turn, result())
    kept = await rows(
        "SELECT status, parts #>> '{0,text}' AS said FROM messages WHERE conversation_id = %s ORDER BY id",
        turn.conversation_id,
    )
    assert kept == [{"status": "complete", "said": "A question?"}, {"status": "complete", "said": "An answer."}]


async def test_saving_a_whole_turn_later_goes_into_the_conversation_it_continues(
    database: Database, user_id: UUID, rows: Rows
) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await begin(connection, first)
        await answers.finish(connection, first, result("Two"))
        (before,) = await rows("SELECT updated_at FROM conversations WHERE id = %s", first.conversation_id)
        assert await save_whole(connection, record(user_id, "Three", after=first), result("Four"))
    (after,) = await rows("SELECT updated_at FROM conversations WHERE id = %s", first.conversation_id)
    kept = await rows("SELECT id FROM messages WHERE conversation_id = %s", first.conversation_id)
    assert (len(kept), after["updated_at"] > before["updated_at"]) == (4, True)


async def test_an_answer_comes_too_late_for_a_deleted_conversation_and_is_logged_all_the_same(
    database: Database, user_id: UUID, rows: Rows
) -> None:
    turn = record(user_id)
    async with database.one_statement(TEAM) as connection:
        await begin(connection, turn)
        await rows("DELETE FROM conversations WHERE id = %s", turn.conversation_id)
        assert not await answers.finish(connection, turn, result())
    assert len(await rows("SELECT id FROM interaction_logs WHERE message_id = %s", turn.answer_id)) == 1


@pytest.mark.parametrize(
    ("team_setting", "kept"),
    [
        ("{}", 2),
        ('{"retention_conversations": 1}', 1),
        ('{"retention_conversations": 0}', 4),
        ('{"retention_conversations": -1}', 4),
        ('{"retention_conversations": 1e300}', 4),
    ],
)
async def test_the_newest_conversations_stay_and_the_team_may_say_how_many(
    database: Database, rows: Rows, team_setting: str, kept: int
) -> None:
    (team,) = await rows(
        "INSERT INTO teams (name, slug, settings) VALUES ('T', %s, %s::jsonb) RETURNING id",
        f"team-{new_id().hex[-12:]}",
        team_setting,
    )
    user_id = new_id()
    async with database.one_statement(EVERY_TEAM) as connection:
        new = NewUser(id=user_id, team_id=team["id"], email="a@example.com", password_hash=None)
        await users.create(connection, new, client=NO_CLIENT)
    async with database.one_statement(Tenant(team["id"])) as connection:
        made = [replace(record(user_id), team_id=team["id"]) for _ in range(4)]
        for turn in made:
            await begin(connection, turn)
            await answers.finish(connection, turn, result())
        await go_on(connection, replace(record(user_id, after=made[0]), team_id=team["id"]), limit=1)
        dropped = await retention.retain_newest(connection, team_id=team["id"], user_id=user_id, default=2)
    assert dropped == 4 - kept
    left = await rows("SELECT id FROM conversations WHERE user_id = %s", user_id)
    newest_first = [made[0], made[3], made[2], made[1]]
    assert {row["id"] for row in left} == {turn.conversation_id for turn in newest_first[:kept]}


async def test_a_conversation_that_is_being_answered_stays_however_many_are_newer(
    database: Database, user_id: UUID
) -> None:
    async with database.one_statement(TEAM) as connection:
        made = [record(user_id) for _ in range(3)]
        for turn in made:
            await begin(connection, turn)
        for turn in made[1:]:
            await answers.finish(connection, turn, result())
        retain = partial(retention.retain_newest, team_id=DEFAULT_TEAM_ID, user_id=user_id, default=1)
        assert await retain(connection) == 1
        assert await answers.finish(connection, made[0], result())
        assert await retain(connection) == 1


async def test_a_setting_that_is_no_number_keeps_the_default(database: Database, rows: Rows) -> None:
    (team,) = await rows(
        "INSERT INTO teams (name, slug, settings) VALUES ('T', %s, '{\"retention_conversations\": \"all\"}')"
        " RETURNING id",
        f"team-{new_id().hex[-12:]}",
    )
    async with database.one_statement(Tenant(team["id"])) as connection:
        assert await retention.retain_newest(connection, team_id=team["id"], user_id=new_id(), default=2) == 0


@pytest.mark.parametrize(
    ("question", "title"),
    [("Why?", "Why?"), ("\n\n  First line \nsecond", "First line"), ("x" * 200, "x" * 79 + "…")],
)
def test_a_title_is_the_first_line(question: str, title: str) -> None:
    assert title_of(question) == title


async def test_two_at_once_in_one_conversation_are_never_interleaved(database: Database, user_id: UUID) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await begin(connection, first)
        await answers.finish(connection, first, result("Two"))

    async def ask(question: str) -> str:
        async with database.one_statement(TEAM) as connection:
            try:
                await go_on(connection, record(user_id, question, after=first))
            except (ConversationBusy, Moved):
                return "refused"
            return "begun"

    assert sorted(await asyncio.gather(*(ask(f"Question {n}") for n in range(4)))) == [
        "begun",
        *["refused"] * 3,
    ]


async def test_a_conversation_whose_answer_nobody_finished_is_free_after_a_while(
    database: Database, user_id: UUID
) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await turns.begin(connection, first, busy=0)
        assert texts(await go_on(connection, record(user_id, "Two", after=first))) == ["One"]


async def test_another_wording_leaves_the_path_before_the_question_and_destroys_nothing(
    database: Database, user_id: UUID, rows: Rows
) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await begin(connection, first)
        await answers.finish(connection, first, result("Two"))
        second = record(user_id, "Three", after=first)
        await said(connection, second, "Four")
        await said(connection, record(user_id, "Five", after=first), "Six")
        edit = replace(record(user_id, "Other", after=first), branch=Branch("edit", second.question_id))
        assert texts(await said(connection, edit, "Answer")) == ["One", "Two"]
        assert texts(await said(connection, record(user_id, "More", after=first), "End")) == [
            *("One", "Two", "Other", "Answer")
        ]
        anew = replace(record(user_id, "Zero", after=first), branch=Branch("edit", first.question_id))
        assert texts(await said(connection, anew, "Root")) == []
    kept = await rows("SELECT id, active FROM messages WHERE conversation_id = %s", first.conversation_id)
    assert (len(kept), sum(row["active"] for row in kept)) == (12, 2)


async def test_another_answer_is_a_sibling_of_the_first_and_knows_the_question(
    database: Database, user_id: UUID, rows: Rows
) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await begin(connection, first)
        await answers.finish(connection, first, result("Two"))
        second = record(user_id, "Three", after=first)
        await said(connection, second, "Four")
        for message_id in (second.answer_id, second.question_id):
            again = replace(record(user_id, "", after=first), branch=Branch("regenerate", message_id))
            begun = await said(connection, again, "Four again")
            assert (texts(begun), begun.question) == (["One", "Two"], "Three")
        assert texts(await go_on(connection, record(user_id, "Five", after=first))) == [
            *("One", "Two", "Three", "Four again")
        ]
    siblings = await rows("SELECT active FROM messages WHERE parent_id = %s ORDER BY id", second.question_id)
    assert [row["active"] for row in siblings] == [False, False, True]


@pytest.mark.parametrize("kind", ["edit", "regenerate"])
async def test_a_branch_at_a_message_of_another_conversation_is_refused(
    database: Database, user_id: UUID, kind: Literal["edit", "regenerate"]
) -> None:
    first, other = record(user_id, "One"), record(user_id, "Other")
    async with database.one_statement(TEAM) as connection:
        for turn in (first, other):
            await begin(connection, turn)
            await answers.finish(connection, turn, result("Two"))
        with pytest.raises(MessageNotFound):
            await go_on(connection, replace(record(user_id, after=first), branch=Branch(kind, other.question_id)))


async def test_nothing_is_begun_with_an_agent_that_is_not_there(database: Database, user_id: UUID, rows: Rows) -> None:
    turn = replace(record(user_id), agent_id=new_id())
    async with database.one_statement(TEAM) as connection:
        with pytest.raises(AgentNotFound):
            await begin(connection, turn)
    assert await rows("SELECT id FROM conversations WHERE id = %s", turn.conversation_id) == []


async def test_of_many_turns_with_one_key_one_is_begun(database: Database, user_id: UUID, rows: Rows) -> None:
    key = TurnKey(new_id().bytes, b"a question")
    tries = [replace(record(user_id), key=key) for _ in range(12)]

    async def ask(turn: TurnRecord) -> UUID | Repeat:
        async with database.one_statement(TEAM) as connection:
            try:
                await begin(connection, turn)
            except KeyTaken:
                found = await turn_keys.find_repeat(connection, turn)
                assert found is not None
                assert found[1]
                return found[0]
            return turn.answer_id

    told = await asyncio.gather(*map(ask, tries))
    (begun,) = [turn for turn, answer in zip(tries, told, strict=True) if answer == turn.answer_id]
    assert {answer for answer in told if isinstance(answer, Repeat)} == {Repeat(begun.conversation_id, begun.answer_id)}
    assert len(await rows("SELECT id FROM conversations WHERE user_id = %s", user_id)) == 1


async def test_a_key_that_lost_its_race_for_a_conversation_is_free_again(database: Database, user_id: UUID) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await begin(connection, first)
        await answers.finish(connection, first, result("Two"))
    late = [
        replace(record(user_id, "Three", after=first), key=TurnKey(new_id().bytes, b"three")),
        replace(record(user_id, "Four", after=first), key=TurnKey(new_id().bytes, b"four")),
    ]

    async def ask(turn: TurnRecord) -> bool:
        async with database.one_statement(TEAM) as connection:
            try:
                await go_on(connection, turn)
            except (ConversationBusy, Moved):
                return False
            return True

    began = await asyncio.gather(*map(ask, late))
    assert sorted(began) == [False, True]
    winner, loser = (late[0], late[1]) if began[0] else (late[1], late[0])
    async with database.one_statement(TEAM) as connection:
        await answers.finish(connection, winner, result("An end"))
        if await turn_keys.find_repeat(connection, loser) is None:
            await go_on(connection, loser)
