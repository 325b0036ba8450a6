"""How a turn is kept when the database fails in the middle of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lib.chat.persist import keep_answer, keep_question
from lib.db.session import Database
from lib.db.tenant import Tenant
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.turns import EndedTurn, TurnRecord, TurnResult
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.web import Rows

TEAM = Tenant(DEFAULT_TEAM_ID)


def result(text: str) -> TurnResult:
    return TurnResult("complete", text, finished_at=datetime.now(UTC), total_ms=5)


@pytest.mark.parametrize("heard", [0, 1])
async def test_a_turn_that_takes_other_ids_is_kept_under_them_also_when_nobody_heard_that_it_was(
    proxy: PostgresProxy, rows: Rows, heard: int
) -> None:
    early = TurnRecord(DEFAULT_TEAM_ID, None, new_id(), new_id(), new_id(), "Two?", opens=False)
    first = replace(early, question_id=new_id(), answer_id=new_id(), question="One?", opens=True)
    database = Database(proxy.url)
    await keep_question(database, first, TEAM, busy=60)
    await keep_answer(database, None, EndedTurn(first, result("One."), begun=True))
    proxy.swallow(after=heard)  # the first reply says that the ids are too early
    turn, begun = await keep_question(database, early, TEAM, busy=60)
    assert begun is None
    assert (turn.question_id == early.question_id) == (heard == 0)
    assert await keep_answer(database, None, EndedTurn(turn, result("Two."), begun=False)) == "saved"
    await database.close()
    query = "SELECT parts #>> '{0,text}' AS said FROM messages WHERE conversation_id = %s AND active ORDER BY id"
    said = [row["said"] for row in await rows(query, first.conversation_id)]
    assert sorted(said) == ["One.", "One?", "Two.", "Two?"]
    if heard:
        assert said == ["One?", "One.", "Two?", "Two."]
