"""What nobody caught: lines of the log that tell of it, and answers that no client could make sense of."""

from collections.abc import Sequence
from typing import Any, Final

from tests.chaos.findings import Outcome
from tests.chaos.ledger import Ledger

REFUSALS: Final = frozenset(
    {
        (409, "conversation_busy"),
        (502, "provider_error"),
        (503, "database_unavailable"),
        (503, "database_busy"),
        (503, "interrupted"),
        (503, "provider_unavailable"),
        (504, "provider_timeout"),
    }
)
"""How a question may be refused: each says why."""
ENDS: Final = frozenset(
    {
        "provider_error",
        "provider_timeout",
        "provider_unavailable",
        "interrupted",
        "database_unavailable",
    }
)
"""How a turn may fail that was begun."""
CUT_SHORT: Final = "ASGI callable returned without completing response."
"""uvicorn's word for a stream whose server was told to end: it breaks off, which is how its reader knows."""
OWN_WORDS: Final = frozenset({"parley.spool"})
"""Whose errors are words to the operator, which a fault may call for: no turn is at fault."""

GIVEN_UP: Final = ("is set aside", "nobody may keep it")
"""What the spool says of a turn that it does not bring in."""


def check_statuses(ledger: Ledger, outcome: Outcome) -> None:
    """See that whoever got no answer was told why, in a way that the faults explain."""
    saved = [told for turn in ledger.turns for told in turn.told if told.saved]
    waits = {told.message_id for turn in ledger.turns for told in turn.told if told.spooled}
    known = {told.conversation_id for told in saved}
    for turn in ledger.turns:
        for attempt in turn.attempts:
            refusal = (attempt.status or 0, attempt.code)
            if attempt.told and attempt.told.outcome == "failed" and attempt.code not in ENDS:
                outcome.finds("uncaught", f"{turn.marker}: the turn failed with {attempt.code}")
            if attempt.history == "unavailable" and turn.tells_history:
                outcome.finds("uncaught", f"{turn.marker}: the history that was sent along was not read")
            if attempt.status in {None, 200} or refusal in REFUSALS or attempt.cut:
                continue  # of a refusal that was cut off nobody has read the reason
            if attempt.status == 404 and (turn.conversation_id not in known or turn.target in waits):
                continue  # it was promised, and waits for its replay
            outcome.finds("uncaught", f"{turn.marker}: refused with {refusal[0]} {refusal[1]}")


def check_log(lines: Sequence[dict[str, Any] | str], outcome: Outcome, *, told_to_end: bool) -> None:
    """See that the server's log tells of no exception, and of no error that is not its own word to the operator.

    `told_to_end` says that a server was, which then cuts its streams short.
    """
    for line in lines:
        if isinstance(line, dict) and any(words in line["message"] for words in GIVEN_UP):
            outcome.finds("lost", f"in the log: {line['message']}")
        elif isinstance(line, dict) and line["message"] == CUT_SHORT and told_to_end:
            continue
        elif isinstance(line, str):
            outcome.finds("uncaught", f"in the log: {line[:300]}")
        elif "exception" in line or (line["level"] in {"ERROR", "CRITICAL"} and line["logger"] not in OWN_WORDS):
            told = f"{line['logger']} {line['message']} {line.get('exception', '')}"
            outcome.finds("uncaught", f"in the log: {told[:1500]}")
