"""Whatever is missing, there twice, or in a wrong place, is found."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from lib.ids import new_id
from tests.chaos.findings import Outcome
from tests.chaos.ledger import Attempt, Ledger, Told, Turn
from tests.chaos.plan import draw
from tests.chaos.reconcile import reconcile
from tests.chaos.stored import Row, Stored
from tests.chaos.upstream import Call, wording
from tests.fixtures.people import Asker

CALL = Call("1.1", 1, 3, 9, "completed")
TEAM, USER = uuid4(), uuid4()


class Account:
    """One turn that was promised, and the rows that tell of it, for a test to spoil."""

    def __init__(self) -> None:
        conversation_id, question_id, answer_id = new_id(), new_id(), new_id()
        told = Told("complete", True, False, answer_id, conversation_id, CALL.text)
        attempt = Attempt(
            0.0, 1.0, 200, message_id=answer_id, conversation_id=conversation_id, heard=CALL.text, told=told
        )
        self.turn = Turn(
            draw(1).talks[0].steps[0],
            Asker("", USER),
            TEAM,
            "1.1",
            wording("1.1", 3, 0),
            *(None, None, None),
            "say",
            tells_history=False,
            attempts=[attempt],
        )
        beside = {"conversation_id": conversation_id, "team_id": TEAM, "active": True}
        self.question: Row = {"id": question_id, "parent_id": None, "role": "user", "status": "complete", **beside}
        self.answer: Row = {
            "id": answer_id,
            "parent_id": question_id,
            "role": "assistant",
            "status": "complete",
            **beside,
        }
        self.question["said"], self.answer["said"] = self.turn.question, CALL.text
        self.rows = [self.question, self.answer]
        self.logs: list[Row] = [{"id": answer_id, "message_id": answer_id, "outcome": "complete", "team_id": TEAM}]
        self.conversation: Row = {"id": conversation_id, "team_id": TEAM, "user_id": USER}

    def another(self, row: Row, **changes: Any) -> None:
        self.rows.append({**row, "id": new_id(), **changes})

    def findings(self) -> list[str]:
        outcome, ledger = Outcome(1), Ledger(1, turns=[self.turn])
        messages: dict[UUID, Row] = {row["id"]: row for row in self.rows}
        stored = Stored({self.conversation["id"]: self.conversation}, messages, self.logs)
        reconcile(ledger, stored, [CALL], outcome)
        return [str(finding) for finding in outcome.findings]


def test_an_account_that_agrees_has_no_findings() -> None:
    assert Account().findings() == []


SPOILT: dict[str, tuple[Callable[[Account], object], str]] = {
    "no answer": (lambda it: it.rows.remove(it.answer), "lost: 1.1: the answer"),
    "another text": (lambda it: it.answer.update(said="call 1 for 1.1: w1"), "lost: 1.1"),
    "an answer that was given up": (lambda it: it.answer.update(status="interrupted"), "lost: 1.1"),
    "a text twice": (lambda it: it.answer.update(said=CALL.text * 2), "doubled"),
    "no question": (lambda it: it.rows.remove(it.question), "lost: 1.1: the question"),
    "a question twice": (lambda it: it.another(it.question, active=False), "doubled: 1.1: the question is there 2"),
    "an answer twice": (lambda it: it.another(it.answer, active=False), "doubled: 1.1: 1 turns have 2 answers"),
    "a piece that came twice": (
        lambda it: setattr(it.turn.attempts[0], "heard", "call 1 for 1.1: w1 w1"),
        "doubled: 1.1",
    ),
    "an answer that is not closed": (lambda it: it.another(it.answer, status="streaming"), "is streaming"),
    "no line in the log": (lambda it: it.logs.clear(), "lost: the line in the log"),
    "a line too many": (lambda it: it.logs.append({**it.logs[0], "id": new_id()}), "which is not there"),
    "another outcome in the log": (lambda it: it.logs[0].update(outcome="failed"), "in the log failed"),
    "a conversation of somebody else": (lambda it: it.conversation.update(user_id=None), "of somebody else"),
    "a message of another team": (lambda it: it.answer.update(team_id=uuid4()), "of another team"),
    "a parent that is not there": (lambda it: it.question.update(parent_id=new_id()), "follows a message that is not"),
    "a path with a gap": (lambda it: it.question.update(active=False), "the path of"),
    "one key, two answers": (
        lambda it: it.turn.attempts.append(
            Attempt(0.0, 1.0, 200, told=Told("complete", True, False, uuid4(), None, CALL.text), heard=CALL.text)
        ),
        "lost: 1.1: the answer",
    ),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_is_wrong_is_found(spoilt: str) -> None:
    account = Account()
    spoil, words = SPOILT[spoilt]
    spoil(account)
    assert any(words in finding for finding in account.findings()), account.findings()
