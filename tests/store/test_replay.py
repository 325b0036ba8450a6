"""Turns that are kept later than they were had, on a real Postgres."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from lib.db.events import NO_CLIENT
from lib.db.session import Connection, Database
from lib.db.tenant import EVERY_TEAM, Tenant
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.store import answers, conversations, turns, users
from lib.store.conversations import Owner
from lib.store.users import NewUser
from lib.turns import Branch, EndedTurn, Kept, TurnKey, TurnRecord, TurnResult
from tests.fixtures.web import Rows

TEAM = Tenant(DEFAULT_TEAM_ID)
ENDED = datetime.now(UTC) - timedelta(hours=3)


class Replayed:
    """The tests' database, and a user of it."""

    def __init__(self, database: Database, rows: Rows, user_id: UUID) -> None:
        self.database = database
        self.rows = rows
        self.user_id = user_id
        self.became: Kept | None = None

    def asked(
        self, question: str = "Where?", *, after: TurnRecord | None = None, key: bytes | None = None
    ) -> TurnRecord:
        conversation_id = after.conversation_id if after else new_id()
        return TurnRecord(
            *(DEFAULT_TEAM_ID, self.user_id, conversation_id, new_id(), new_id(), question),
            opens=after is None,
            key=TurnKey(key, b"body") if key else None,
        )

    async def begin(self, turn: TurnRecord) -> None:
        async with self.database.one_statement(TEAM) as connection:
            if turn.opens:
                await turns.begin(connection, turn, busy=60)
            else:
                await turns.continue_(connection, turn, limit=20, busy=60)

    async def finish(self, turn: TurnRecord, text: str, *, by_writer: bool = True, **more: object) -> bool:
        result = replace(TurnResult("complete", text, finished_at=datetime.now(UTC)), **more)  # pyright: ignore[reportArgumentType]
        async with self.database.one_statement(TEAM) as connection:
            return await answers.finish(connection, turn, result, by_writer=by_writer)

    async def replay(self, turn: TurnRecord, text: str = "There.", *, begun: bool = False, **more: object) -> Kept:
        result = replace(TurnResult("complete", text, finished_at=ENDED, total_ms=2000), **more)  # pyright: ignore[reportArgumentType]
        async with self.database.one_statement(TEAM) as connection:
            return await answers.replay(connection, EndedTurn(turn, result, begun))

    async def said(self, turn: TurnRecord) -> list[str]:
        """Return the texts of the path, each of which follows the one before it."""
        query = """SELECT id, parent_id, parts #>> '{0,text}' AS said FROM messages
            WHERE conversation_id = %s AND active ORDER BY id"""
        shown = await self.rows(query, turn.conversation_id)
        assert [row["parent_id"] for row in shown] == [None, *(row["id"] for row in shown)][: len(shown)]
        return [row["said"] for row in shown]

    async def tree(self, turn: TurnRecord) -> list[tuple[str, str | None, bool]]:
        """Return every message, what it follows, and whether it is shown."""
        query = """SELECT message.parts #>> '{0,text}' AS said, parent.parts #>> '{0,text}' AS after, message.active
            FROM messages AS message LEFT JOIN messages AS parent ON parent.id = message.parent_id
            WHERE message.conversation_id = %s ORDER BY message.id"""
        return [(row["said"], row["after"], row["active"]) for row in await self.rows(query, turn.conversation_id)]

    async def had(
        self, question: str, answer: str, *, after: TurnRecord | None = None, branch: Branch | None = None
    ) -> TurnRecord:
        """Have a turn."""
        turn = replace(self.asked(question, after=after), branch=branch)
        await self.begin(turn)
        await self.finish(turn, answer)
        return turn

    @asynccontextmanager
    async def at_the_same_moment(self, work: Coroutine[Any, Any, Kept]) -> AsyncGenerator[Connection]:
        """Yield a connection on which something is done that is committed while `work` waits for it."""
        async with self.database.one_statement(TEAM) as connection:
            own = connection.without_preface()
            await own.execute(text("BEGIN").execution_options(no_parameters=True))
            yield own
            working = asyncio.create_task(work)
            await asyncio.sleep(0.2)
            assert not working.done()
            await own.execute(text("COMMIT").execution_options(no_parameters=True))
        self.became = await working

    async def log(self, turn: TurnRecord) -> list[str]:
        found = await self.rows("SELECT outcome FROM interaction_logs WHERE message_id = %s", turn.answer_id)
        return [row["outcome"] for row in found]


@pytest.fixture
async def late(database_url: str, rows: Rows) -> AsyncGenerator[Replayed]:
    database, user_id = Database(database_url), new_id()
    new = NewUser(id=user_id, team_id=DEFAULT_TEAM_ID, email=f"{user_id}@example.com", password_hash=None)
    async with database.one_statement(EVERY_TEAM) as connection:
        await users.create(connection, new, client=NO_CLIENT)
    yield Replayed(database, rows, user_id)
    await database.close()


async def test_a_turn_is_kept_as_of_when_it_was_had_and_once(late: Replayed) -> None:
    turn = late.asked()
    assert [await late.replay(turn) for _ in range(3)] == ["kept"] * 3
    (conversation,) = await late.rows(
        "SELECT created_at, updated_at FROM conversations WHERE id = %s", turn.conversation_id
    )
    assert conversation == {"created_at": ENDED - timedelta(seconds=2), "updated_at": ENDED}
    assert await late.said(turn) == ["Where?", "There."]
    (logged,) = await late.rows("SELECT created_at FROM interaction_logs WHERE message_id = %s", turn.answer_id)
    assert logged["created_at"] == ENDED


async def test_what_was_said_since_goes_on_behind_it(late: Replayed) -> None:
    first = late.asked("One")
    await late.begin(first)
    await late.finish(first, "Two")
    waited, since = late.asked("Three", after=first), late.asked("Five", after=first)
    await late.begin(since)
    await late.finish(since, "Six")
    (before,) = await late.rows("SELECT updated_at FROM conversations WHERE id = %s", first.conversation_id)
    assert [await late.replay(waited, "Four") for _ in range(2)] == ["kept"] * 2
    assert await late.said(first) == ["One", "Two", "Three", "Four", "Five", "Six"]
    (after,) = await late.rows("SELECT updated_at FROM conversations WHERE id = %s", first.conversation_id)
    assert after == before


async def test_it_is_kept_while_another_answer_is_being_written_there(late: Replayed) -> None:
    first = late.asked("One")
    await late.begin(first)
    await late.finish(first, "Two")
    waited, now = late.asked("Three", after=first), late.asked("Five", after=first)
    await late.begin(now)
    assert await late.replay(waited, "Four") == "kept"
    assert await late.finish(now, "Six")
    assert await late.said(first) == ["One", "Two", "Three", "Four", "Five", "Six"]


async def test_an_answer_whose_question_was_kept_is_completed_also_after_the_reaper(late: Replayed) -> None:
    turn = late.asked()
    await late.begin(turn)
    assert await late.finish(turn, "The", by_writer=False, outcome="interrupted")
    assert [await late.replay(turn, begun=True) for _ in range(2)] == ["kept", "known"]
    assert await late.said(turn) == ["Where?", "There."]
    assert await late.log(turn) == ["complete"]


async def test_a_reaper_that_comes_late_takes_nothing_back(late: Replayed) -> None:
    turn = late.asked()
    await late.begin(turn)
    assert await late.finish(turn, "There, half", outcome="interrupted")
    assert not await late.finish(turn, "The", by_writer=False, outcome="interrupted")
    assert (await late.said(turn), await late.log(turn)) == (["Where?", "There, half"], ["interrupted"])


async def test_a_turn_that_was_begun_unheard_is_completed(late: Replayed) -> None:
    turn = late.asked()
    await late.begin(turn)
    assert [await late.replay(turn) for _ in range(2)] == ["kept"] * 2
    assert (await late.said(turn), await late.log(turn)) == (["Where?", "There."], ["complete"])


@pytest.mark.parametrize("begun", [False, True])
async def test_a_conversation_that_was_deleted_since_stays_so(late: Replayed, begun: bool) -> None:
    turn = late.asked()
    if begun:
        await late.begin(turn)
    else:
        await late.replay(turn)
    await late.rows("DELETE FROM conversations WHERE id = %s", turn.conversation_id)
    assert await late.replay(turn, begun=begun) == "known"
    assert await late.replay(late.asked(after=turn)) == "known"
    assert await late.rows("SELECT id FROM conversations WHERE id = %s", turn.conversation_id) == []


async def test_a_turn_opens_its_conversation_where_the_one_before_it_is_lost(late: Replayed) -> None:
    turn = late.asked(after=late.asked())
    assert await late.replay(turn) == "kept"
    assert await late.said(turn) == ["Where?", "There."]


async def test_nothing_goes_into_a_strangers_conversation(late: Replayed) -> None:
    theirs = replace(late.asked(), user_id=None)
    await late.replay(theirs)
    assert await late.replay(late.asked("Mine?", after=theirs)) == "refused"
    assert await late.said(theirs) == ["Where?", "There."]


async def test_of_a_turn_and_its_retry_that_was_answered_the_retry_stays(late: Replayed) -> None:
    key = new_id().bytes
    retry, turn = late.asked(key=key), late.asked(key=key)
    await late.begin(retry)
    assert await late.replay(turn) == "later"
    await late.finish(retry, "There!")
    assert await late.replay(turn) == "answered"
    assert await late.said(turn) == []


async def test_a_turn_takes_its_key_back_from_a_retry_that_came_to_nothing(late: Replayed) -> None:
    key = new_id().bytes
    retry, turn, again = late.asked(key=key), late.asked(key=key), late.asked(key=key)
    await late.begin(retry)
    await late.finish(retry, "", outcome="failed")
    assert await late.replay(turn) == "kept"
    assert await late.replay(again) == "answered"
    (kept,) = await late.rows("SELECT answer_id FROM turn_keys WHERE key_hash = %s", key)
    assert kept["answer_id"] == turn.answer_id


async def test_who_ends_what_was_never_begun_leaves_nothing_behind(late: Replayed) -> None:
    turn = late.asked()
    assert not await late.finish(turn, "", by_writer=False, outcome="failed")
    assert await late.log(turn) == []


async def test_of_two_turns_with_one_key_that_both_waited_one_answer_is_kept(late: Replayed) -> None:
    key = new_id().bytes
    begun, unheard = late.asked(key=key), late.asked(key=key)
    await late.begin(begun)
    await late.rows("UPDATE conversations SET busy_until = now() WHERE id = %s", begun.conversation_id)
    assert await late.replay(unheard) == "kept"
    assert await late.replay(begun, begun=True) == "known"
    assert [
        await late.rows("SELECT 1 FROM messages WHERE status = 'complete' AND id = %s", turn.answer_id)
        for turn in (begun, unheard)
    ] == [[], [{"?column?": 1}]]
    assert (await late.log(begun), await late.log(unheard)) == ([], ["complete"])


async def test_a_turn_stays_on_the_path_that_was_left_since(late: Replayed) -> None:
    first = await late.had("Q1", "A1")
    second = await late.had("Q2", "A2", after=first)
    waited = late.asked("Q3", after=first)
    await late.had("Q2, better", "A4", after=first, branch=Branch("edit", second.question_id))
    assert [await late.replay(waited, "A3") for _ in range(2)] == ["kept"] * 2
    assert await late.tree(first) == [
        *(("Q1", None, True), ("A1", "Q1", True), ("Q2", "A1", False), ("A2", "Q2", False)),
        *(("Q3", "A2", False), ("A3", "Q3", False), ("Q2, better", "A1", True), ("A4", "Q2, better", True)),
    ]


async def test_a_turn_stays_behind_the_answer_that_was_had_anew_since(late: Replayed) -> None:
    first = await late.had("Q1", "A1")
    waited = late.asked("Q2", after=first)
    await late.had("", "A1, anew", after=first, branch=Branch("regenerate", first.answer_id))
    assert await late.replay(waited, "A2") == "kept"
    assert await late.tree(first) == [
        *(("Q1", None, True), ("A1", "Q1", False), ("Q2", "A1", False), ("A2", "Q2", False), ("A1, anew", "Q1", True))
    ]


async def test_a_turn_goes_on_with_the_path_that_had_been_chosen_before(late: Replayed) -> None:
    first = await late.had("Q1", "A1")
    await late.had("Q1, better", "A2", after=first, branch=Branch("edit", first.question_id))
    await late.rows(
        "UPDATE messages SET active = NOT active WHERE conversation_id = %s", first.conversation_id
    )  # the first wording was chosen again
    waited = late.asked("Q3", after=first)
    assert await late.replay(waited, "A3") == "kept"
    assert await late.said(first) == ["Q1", "A1", "Q3", "A3"]


async def test_what_is_said_at_the_same_moment_goes_on_behind_it(late: Replayed) -> None:
    first = await late.had("Q1", "A1")
    waited, live = late.asked("Q2", after=first), late.asked("Q3", after=first)
    async with late.at_the_same_moment(late.replay(waited, "A2")) as connection:
        await turns.continue_(connection, live, limit=20, busy=60)
    await late.finish(live, "A3")
    assert (late.became, await late.said(first)) == ("kept", ["Q1", "A1", "Q2", "A2", "Q3", "A3"])


async def test_a_conversation_that_is_deleted_at_the_same_moment_stays_so(late: Replayed) -> None:
    first = await late.had("Q1", "A1")
    async with late.at_the_same_moment(late.replay(late.asked("Q2", after=first))) as connection:
        await conversations.delete(
            connection, Owner(team_id=DEFAULT_TEAM_ID, user_id=late.user_id), first.conversation_id
        )
    assert (late.became, await late.tree(first)) == ("known", [])


async def test_a_conversation_stays_deleted_also_where_its_turn_was_begun_unheard(late: Replayed) -> None:
    turn = late.asked()
    await late.begin(turn)
    async with late.database.one_statement(TEAM) as connection:
        await conversations.delete(
            connection, Owner(team_id=DEFAULT_TEAM_ID, user_id=late.user_id), turn.conversation_id
        )
    assert (await late.replay(turn), await late.tree(turn), await late.log(turn)) == ("known", [], ["interrupted"])


async def test_a_whole_answer_is_not_cut_short_by_who_stopped_it_too_late(late: Replayed) -> None:
    turn = late.asked()
    await late.begin(turn)
    assert await late.finish(turn, "The", by_writer=False, outcome="stopped")
    assert await late.replay(turn, "There.", begun=True, model="double-1") == "kept"
    assert (await late.said(turn), await late.log(turn)) == (["Where?", "There."], ["complete"])


async def test_what_its_writer_has_stopped_stays_so(late: Replayed) -> None:
    turn = late.asked()
    await late.begin(turn)
    assert await late.finish(turn, "The", outcome="stopped", model="double-1")
    assert await late.replay(turn, "There.", begun=True) == "known"
    assert await late.said(turn) == ["Where?", "The"]


async def test_who_writes_on_after_a_stop_that_was_not_heard_does_not_take_it_back(late: Replayed) -> None:
    turn = late.asked()
    await late.begin(turn)
    assert await late.finish(turn, "The", by_writer=False, outcome="stopped")
    assert not await late.finish(turn, "There.", model="double-1")
    assert await late.replay(turn, "There, half", begun=True, outcome="interrupted") == "known"
    assert (await late.said(turn), await late.log(turn)) == (["Where?", "The"], ["stopped"])
