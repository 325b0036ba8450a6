"""Turns at rest, on a real Postgres."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from uuid import UUID

import pytest

from lib.db.events import NO_CLIENT
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM, Asker, Tenant
from lib.errors import ConversationNotFound, Unauthenticated
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.store import turns, users
from lib.store.turns import SaidMessage, TurnRecord, TurnResult
from lib.store.users import NewUser
from tests.fixtures.web import Rows

TEAM = Tenant(DEFAULT_TEAM_ID)
ANSWER = TurnResult("complete", "An answer.", new_id())


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
    return TurnResult("complete", text, new_id())


async def test_a_turn_that_goes_on_sees_the_last_messages_oldest_first(database: Database, user_id: UUID) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await turns.begin(connection, first)
        assert await turns.finish(connection, first, result("Two"))
        second = record(user_id, "Three", after=first)
        assert (await turns.continue_(connection, second, limit=20)).history == (
            SaidMessage("user", "One"),
            SaidMessage("assistant", "Two"),
        )
        third = record(user_id, "Four", after=first)
        assert (await turns.continue_(connection, third, limit=2)).history == (
            SaidMessage("assistant", "Two"),
            SaidMessage("user", "Three"),
        )


async def test_a_failed_answer_is_not_said_again_and_an_interrupted_one_is(database: Database, user_id: UUID) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await turns.begin(connection, first)
        await turns.finish(connection, first, replace(result("Half"), outcome="failed"))
        second = record(user_id, "Two", after=first)
        await turns.continue_(connection, second, limit=20)
        await turns.finish(connection, second, replace(result("Part"), outcome="interrupted"))
        said = (await turns.continue_(connection, record(user_id, "Three", after=first), limit=20)).history
    assert [message.text for message in said] == ["One", "Two", "Part"]


async def test_another_tenants_conversation_cannot_be_continued_nor_saved_into(
    database: Database, user_id: UUID, rows: Rows
) -> None:
    mine = record(user_id)
    (team,) = await rows(
        "INSERT INTO teams (name, slug) VALUES ('Other', %s) RETURNING id", f"other-{new_id().hex[-12:]}"
    )
    theirs = replace(record(None, after=mine), team_id=team["id"])
    async with database.one_statement(TEAM) as connection:
        await turns.begin(connection, mine)
    async with database.one_statement(Tenant(team["id"])) as connection:
        with pytest.raises(ConversationNotFound):
            await turns.continue_(connection, theirs, limit=20)
        assert not await turns.save_whole(connection, theirs, result())
        assert not await turns.finish(connection, replace(mine, team_id=team["id"]), result())
    assert len(await rows("SELECT id FROM messages WHERE conversation_id = %s", mine.conversation_id)) == 2


async def test_nobody_begins_for_an_account_that_is_not_there(database: Database) -> None:
    turn = record(new_id())
    async with database.one_statement(Tenant(DEFAULT_TEAM_ID, Asker(turn.user_id))) as connection:
        with pytest.raises(Unauthenticated):
            await turns.begin(connection, turn)


async def test_saving_a_whole_turn_twice_at_once_keeps_it_once(database: Database, user_id: UUID, rows: Rows) -> None:
    turn, kept = record(user_id), result()

    async def save() -> bool:
        async with database.one_statement(TEAM) as connection:
            return await turns.save_whole(connection, turn, kept)

    await asyncio.gather(*(save() for _ in range(8)), return_exceptions=False)
    assert await save()
    said = await rows("SELECT role FROM messages WHERE conversation_id = %s ORDER BY id", turn.conversation_id)
    assert [row["role"] for row in said] == ["user", "assistant"]
    assert len(await rows("SELECT id FROM interaction_logs WHERE message_id = %s", turn.answer_id)) == 1


async def test_saving_a_turn_whole_completes_one_that_was_begun_after_all(
    database: Database, user_id: UUID, rows: Rows
) -> None:
    turn = record(user_id)
    async with database.one_statement(TEAM) as connection:
        await turns.begin(connection, turn)
        for _ in range(2):
            assert await turns.save_whole(connection, turn, result())
    said = await rows(
        "SELECT status, parts #>> '{0,text}' AS said FROM messages WHERE conversation_id = %s ORDER BY id",
        turn.conversation_id,
    )
    assert said == [{"status": "complete", "said": "A question?"}, {"status": "complete", "said": "An answer."}]


async def test_saving_a_whole_turn_later_goes_into_the_conversation_it_continues_and_makes_none(
    database: Database, user_id: UUID, rows: Rows
) -> None:
    first = record(user_id, "One")
    async with database.one_statement(TEAM) as connection:
        await turns.begin(connection, first)
        await turns.finish(connection, first, result("Two"))
        (before,) = await rows("SELECT updated_at FROM conversations WHERE id = %s", first.conversation_id)
        assert await turns.save_whole(connection, record(user_id, "Three", after=first), result("Four"))
        assert not await turns.save_whole(connection, record(user_id, after=record(user_id)), result())
    (after,) = await rows("SELECT updated_at FROM conversations WHERE id = %s", first.conversation_id)
    said = await rows("SELECT id FROM messages WHERE conversation_id = %s", first.conversation_id)
    assert (len(said), after["updated_at"] > before["updated_at"]) == (4, True)


async def test_an_answer_comes_too_late_for_a_deleted_conversation_and_is_logged_all_the_same(
    database: Database, user_id: UUID, rows: Rows
) -> None:
    turn = record(user_id)
    async with database.one_statement(TEAM) as connection:
        await turns.begin(connection, turn)
        await rows("DELETE FROM conversations WHERE id = %s", turn.conversation_id)
        assert not await turns.finish(connection, turn, result())
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
            await turns.begin(connection, turn)
        await turns.continue_(connection, replace(record(user_id, after=made[0]), team_id=team["id"]), limit=1)
        dropped = await turns.retain_newest(connection, team_id=team["id"], user_id=user_id, default=2)
    assert dropped == 4 - kept
    left = await rows("SELECT id FROM conversations WHERE user_id = %s", user_id)
    newest_first = [made[0], made[3], made[2], made[1]]
    assert {row["id"] for row in left} == {turn.conversation_id for turn in newest_first[:kept]}


async def test_a_setting_that_is_no_number_keeps_the_default(database: Database, rows: Rows) -> None:
    (team,) = await rows(
        "INSERT INTO teams (name, slug, settings) VALUES ('T', %s, '{\"retention_conversations\": \"all\"}')"
        " RETURNING id",
        f"team-{new_id().hex[-12:]}",
    )
    async with database.one_statement(Tenant(team["id"])) as connection:
        assert await turns.retain_newest(connection, team_id=team["id"], user_id=new_id(), default=2) == 0


@pytest.mark.parametrize(
    ("question", "title"),
    [("Why?", "Why?"), ("\n\n  First line \nsecond", "First line"), ("x" * 200, "x" * 79 + "…")],
)
def test_a_title_is_the_first_line(question: str, title: str) -> None:
    assert turns.title_of(question) == title
