"""How often the model was asked.

Each answer that was promised whole comes from exactly one call that the model completed. That leaves two exceptions,
and no others:

- A call whose connection a fault touched may have been completed for nobody: the provider is then asked once more, if
  not a word had come through. Such calls are known by their connection, and do not count.
- Requests with one key that could not know of each other, since the database had failed before the last of them ended,
  may have a call each.

That a server was killed is no exception: whoever sends a key again after it finds the turn that was begun.
"""

from collections.abc import Collection, Sequence
from itertools import groupby

from tests.chaos.findings import Outcome
from tests.chaos.ledger import Ledger, Turn
from tests.chaos.reconcile import alone
from tests.chaos.upstream import Call, named_in


def count_calls(
    ledger: Ledger, calls: Sequence[Call], harmed: Collection[int], outcome: Outcome, *, troubled_since: float | None
) -> None:
    """Note in `outcome` where the model was asked too often, and how often it was asked for what was promised whole."""
    by_marker = sorted(ledger.turns, key=lambda turn: turn.marker)
    for marker, group in groupby(by_marker, key=lambda turn: turn.marker):
        turns = list(group)
        completed = [call for call in calls if call.marker == marker and call.state == "completed"]
        counted = [call for call in completed if call.port not in harmed]
        certain = all(alone(turn, troubled_since) for turn in turns)
        most = sum(1 if alone(turn, troubled_since) else len(turn.attempts) for turn in turns)
        if len(counted) > most:
            outcome.finds("doubled", f"{marker}: {len(counted)} calls of the model for {most} turns")
        promised = [named for turn in turns for named in _promised(turn)]
        for named in promised:
            if named not in {(call.marker, call.number) for call in completed}:
                outcome.finds("doubled", f"{marker}: an answer of the call {named}, which was not completed")
        if len(set(promised)) < len(promised):
            outcome.finds("doubled", f"{marker}: two answers of one call")
        if certain and len(promised) == len(turns):
            outcome.answered += len(turns)
            outcome.calls += len(turns) + sum((call.marker, call.number) not in promised for call in counted)


def _promised(turn: Turn) -> list[tuple[str, int] | None]:
    """Return the calls that a turn's promised answers come from, of those that are whole."""
    whole = [told for told in turn.acknowledged if told.outcome == "complete"]
    texts = [next(attempt.heard for attempt in turn.attempts if attempt.told is told) for told in whole]
    return [named_in(text) for text in texts]
