"""The ledger against the database, once everything is healed and has been replayed.

Every answer that was promised is there exactly once: its row with the very text, its question as its parent, its line
in the log under its own id. Everything else is explicitly something, or not there at all.

Of a question that was sent with a key one turn is there. It is one that was promised, with one exception: while the
database cannot be asked nobody knows that a key was used, so two requests with one key may both be answered, and only
one of the answers can stay. Where the database failed before the last of them ended, a promised answer may give way to
another whole answer to the same key, and is counted as `retried`; and beside the answer there may be turns with that
key that came to nothing, each explicitly so.

Of an answer that ended early there is at least what its reader had heard, also where the server was told to end half a
second before it was killed. Only where it was killed without a word, or where the database or the storage failed, may
there be less.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final
from uuid import UUID

from tests.chaos.findings import Outcome
from tests.chaos.ledger import Ledger, Told, Turn
from tests.chaos.stored import Row, Stored
from tests.chaos.upstream import Call, named_in

_ENDED: Final = frozenset({"complete", "stopped", "interrupted", "failed"})
_WHOLE: Final = frozenset({"complete", "stopped"})


def reconcile(
    ledger: Ledger,
    stored: Stored,
    calls: Sequence[Call],
    outcome: Outcome,
    *,
    troubled_since: float | None = None,
    gentle: bool = True,
) -> None:
    """Compare, and note in `outcome` what is wrong and what is there.

    Args:
        ledger: what the clients know.
        stored: what the database holds.
        calls: what the model said.
        outcome: is told.
        troubled_since: when the database first failed, by the monotonic clock.
        gentle: no server was killed without a word, and neither the database nor the storage failed.
    """
    texts = {(call.marker, call.number): call.text for call in calls}
    for turn in ledger.turns:
        _reconcile_turn(turn, stored, outcome, alone=alone(turn, troubled_since))
        _check_heard(turn, texts, outcome)
        if gentle:
            _check_kept(turn, stored, outcome)
    for conversation_id in ledger.opened:
        if conversation_id not in stored.conversations:
            outcome.finds("lost", f"the conversation {conversation_id} that was opened")
    _check_copies(ledger, stored, outcome, troubled_since)
    for row in stored.messages.values():
        _check_message(row, stored, texts, outcome)
    _check_owners(ledger, stored, outcome)
    _check_logs(stored, outcome)


def alone(turn: Turn, troubled_since: float | None) -> bool:
    """Tell whether each request of a turn could know of the others: all had ended before the database first failed."""
    ended = max((attempt.ended for attempt in turn.attempts), default=0.0)
    return turn.key is None or len(turn.attempts) == 1 or troubled_since is None or ended < troubled_since


def _reconcile_turn(turn: Turn, stored: Stored, outcome: Outcome, *, alone: bool) -> None:
    outcome.turns += 1
    promised = turn.acknowledged
    outcome.acknowledged += len(promised)
    if len(promised) > 1 and alone:
        outcome.finds("doubled", f"{turn.marker}: one key has {len(promised)} answers")
    for told in promised:
        row = stored.messages.get(told.message_id) if told.message_id else None
        if row is not None:
            _check_promise(turn, told, row, stored, outcome)
        elif not alone and _other_answer(turn, stored):
            outcome.retried += 1
        else:
            outcome.finds("lost", f"{turn.marker}: the answer {told.message_id}, {told}")
    for attempt in turn.attempts:
        if attempt.started_saved and attempt.message_id and attempt.message_id not in stored.messages:
            outcome.finds("lost", f"{turn.marker}: the question that was committed with {attempt.message_id}")


def _other_answer(turn: Turn, stored: Stored) -> bool:
    """Tell whether another whole answer to the same question, with the same key, is there."""
    return any(row["status"] in _WHOLE for row in stored.answers_to(turn.marker))


def _check_promise(turn: Turn, told: Told, row: Row, stored: Stored, outcome: Outcome) -> None:
    """See that an answer is there as it was told, and its question before it."""
    found = True
    streamed = next(attempt.heard for attempt in turn.attempts if attempt.told is told)
    text = told.text if told.text is not None else streamed
    if told.outcome == "failed":
        # What came to nothing may turn out to be more: a reader is told so of an answer that waits to be kept.
        found = row["said"].startswith(text)
    elif (row["status"], row["said"]) != (told.outcome, text):
        found = False
    question = stored.messages.get(row["parent_id"])
    if not found:
        outcome.finds(
            "lost", f"{turn.marker}: {told.message_id} was told {told} {text!r}, is {row['status']} {row['said']!r}"
        )
    elif question is None or f"({turn.marker})" not in question["said"]:
        outcome.finds("lost", f"{turn.marker}: the question of {told.message_id}")
    else:
        outcome.found += 1
        outcome.spooled += not told.saved


def _check_heard(turn: Turn, texts: dict[tuple[str, int], str], outcome: Outcome) -> None:
    """See that no stream told anything twice or left anything out."""
    for attempt in turn.attempts:
        named = named_in(attempt.heard)
        whole = texts.get(named, "") if named else "call "
        if attempt.told and attempt.told.text is not None and attempt.told.text != attempt.heard:
            outcome.finds("doubled", f"{turn.marker}: streamed {attempt.heard!r}, told {attempt.told.text!r}")
        if not (whole.startswith(attempt.heard) or (not named and attempt.heard.startswith("call"))):
            outcome.finds("doubled", f"{turn.marker}: streamed {attempt.heard!r}")


def _check_kept(turn: Turn, stored: Stored, outcome: Outcome) -> None:
    """See that all that was heard of an answer is there, however it ended."""
    for attempt in turn.attempts:
        row = stored.messages.get(attempt.message_id) if attempt.message_id else None
        if attempt.heard and not (row and row["said"].startswith(attempt.heard)):
            there = f"{row['status']} {row['said']!r}" if row else "nothing"
            outcome.finds("lost", f"{turn.marker}: was heard to say {attempt.heard!r}, there is {there}")


def _check_copies(ledger: Ledger, stored: Stored, outcome: Outcome, troubled_since: float | None) -> None:
    """See that a question is there once, and answered once a turn.

    Of requests with one key that could not know of each other one is answered; the others may be there as interrupted.
    """
    by_marker = sorted(ledger.turns, key=lambda turn: turn.marker)
    for marker, group in groupby(by_marker, key=lambda turn: turn.marker):
        turns = list(group)
        spare = sum(len(turn.attempts) - 1 for turn in turns if not alone(turn, troubled_since))
        answers = stored.answers_to(marker)
        whole = sum(row["status"] in _WHOLE for row in answers)
        if (questions := len(stored.questions(marker))) > 1 + spare:
            outcome.finds("doubled", f"{marker}: the question is there {questions} times")
        if whole > len(turns) or len(answers) > len(turns) + spare:
            outcome.finds("doubled", f"{marker}: {len(turns)} turns have {len(answers)} answers, {whole} of them whole")


def _check_message(row: Row, stored: Stored, texts: dict[tuple[str, int], str], outcome: Outcome) -> None:
    """See that a message has ended, says what its model said, and is in its place."""
    parent = stored.messages.get(row["parent_id"]) if row["parent_id"] else None
    if row["parent_id"] and (parent is None or parent["conversation_id"] != row["conversation_id"]):
        outcome.finds("uncaught", f"{row['id']} follows a message that is not there")
    if parent is not None and parent["role"] == row["role"]:
        outcome.finds("uncaught", f"{row['id']} follows a message of the same role")
    if row["role"] == "user":
        return
    if row["status"] not in _ENDED:
        outcome.finds("uncaught", f"{row['id']} is {row['status']}")
    outcome.interrupted += row["status"] == "interrupted"
    named = named_in(row["said"])
    text = texts.get(named, "") if named else ""
    if row["status"] == "complete" and row["said"] != text:
        outcome.finds("doubled", f"{row['id']} says {row['said']!r}, its model said {text!r}")
    if named and not text.startswith(row["said"]):
        outcome.finds("doubled", f"{row['id']} says {row['said']!r}")
    if named and parent is not None and f"({named[0]})" not in parent["said"]:
        outcome.finds("doubled", f"{row['id']} answers another question: {row['said']!r}")


def _check_owners(ledger: Ledger, stored: Stored, outcome: Outcome) -> None:
    """See that everything is its asker's and its team's, and each path that is shown a path."""
    whose = {turn.marker: (turn.team_id, turn.asker.id) for turn in ledger.turns}
    for conversation in stored.conversations.values():
        said = [row for row in stored.messages.values() if row["conversation_id"] == conversation["id"]]
        for row in said:
            marker = row["said"][1:].partition(")")[0] if row["role"] == "user" else None
            if marker and whose.get(marker) != (conversation["team_id"], conversation["user_id"]):
                outcome.finds("uncaught", f"{row['id']} is in a conversation of somebody else")
            if row["team_id"] != conversation["team_id"]:
                outcome.finds("uncaught", f"{row['id']} is of another team than its conversation")
        shown = [row for row in said if row["active"]]
        before: list[UUID | None] = [None, *(row["id"] for row in shown)]
        if [row["parent_id"] for row in shown] != before[: len(shown)]:
            outcome.finds("uncaught", f"the path of {conversation['id']} is none")


def _check_logs(stored: Stored, outcome: Outcome) -> None:
    """See that each answer has one line in the log, which says how it ended."""
    logged = {row["id"]: row for row in stored.logs}
    for row in stored.messages.values():
        if row["role"] == "assistant" and row["status"] in _ENDED:
            line = logged.pop(row["id"], None)
            if line is None:
                outcome.finds("lost", f"the line in the log of {row['id']}, {row['status']}")
            elif (line["outcome"], line["team_id"]) != (row["status"], row["team_id"]):
                outcome.finds("uncaught", f"{row['id']} is {row['status']}, in the log {line['outcome']}")
    for row in logged.values():
        outcome.finds("uncaught", f"a line in the log of {row['message_id']}, which is not there")
