"""Positions: what a reader has not read, whatever record of the turn it is read from."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from lib.chat.batches import pack, unpack
from lib.chat.events import (
    Failed,
    Finished,
    ReasoningDelta,
    Sources,
    Started,
    Status,
    TextDelta,
    TurnEvent,
    Usage,
)
from lib.chat.position import START, Position
from lib.ids import new_id
from tests.encoders.test_encoders import TURN

FINISHED = next(event for event in TURN if isinstance(event, Finished))
FAILED = next(event for event in TURN if isinstance(event, Failed))


@st.composite
def turns(draw: st.DrawFn) -> list[TurnEvent]:
    """Draw the events of a turn."""
    pieces = draw(st.lists(st.tuples(st.booleans(), st.text(min_size=1, max_size=6)), max_size=12))
    texts = [TextDelta(text) if is_text else ReasoningDelta(text) for is_text, text in pieces]
    statuses = [Status(f"Status {number}") for number in range(draw(st.integers(0, 2)))]
    started = Started(new_id(), new_id(), saved=True)
    return [started, *statuses, Sources((), "empty"), *texts, Usage(1, 2), FINISHED]


def recut(events: Sequence[TurnEvent], cuts: Sequence[int]) -> list[TurnEvent]:
    """Return the same turn with its texts cut otherwise: joined, then split at some places."""
    joined = list(unpack(pack(events)))
    cut: list[TurnEvent] = []
    for event in joined:
        if isinstance(event, TextDelta | ReasoningDelta):
            places = sorted({0, len(event.text), *(place % len(event.text) for place in cuts)})
            cut += [type(event)(event.text[a:b]) for a, b in pairwise(places)]
        else:
            cut.append(event)
    return cut


def read(events: Sequence[TurnEvent], position: Position) -> list[TurnEvent]:
    """Return what a reader at a position reads of a record."""
    at, rest = START, list[TurnEvent]()
    for event in events:
        beyond = position.beyond(event, at)
        at = at.after(event)
        if beyond is not None:
            position = position.after(beyond)
            rest.append(beyond)
    return rest


def told(events: Sequence[TurnEvent]) -> tuple[object, ...]:
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    return text, thought, [event for event in events if not isinstance(event, TextDelta | ReasoningDelta)]


@given(turns(), st.lists(st.integers(0, 100), max_size=6))
def test_after_any_event_what_comes_of_any_record_is_what_was_missing(events: list[TurnEvent], cuts: list[int]) -> None:
    other = recut(events, cuts)
    for number in range(len(events) + 1):
        had, position = events[:number], START
        for event in had:
            position = position.after(event)
        assert told([*had, *read(other, position)]) == told(events)


@given(turns(), st.sets(st.sampled_from([Sources, Usage, Status])))
def test_a_record_that_lacks_what_its_reader_has_had_tells_its_end_once(
    events: list[TurnEvent], lacking: set[type[TurnEvent]]
) -> None:
    record = [*(event for event in events[:-1] if type(event) not in lacking), FAILED]
    position = START
    for event in events[:-1]:
        position = position.after(event)
        *_, last = read(record, position)
        assert last == FAILED
    assert read(record, position.after(FINISHED)) == read(events, position.after(FAILED)) == []


def test_the_end_of_one_reading_leads_nowhere() -> None:
    position = Position(whole=2, text=4)
    assert position.after(replace(FAILED, over=False)) == position


@given(turns())
def test_each_event_has_a_position_of_its_own_that_can_be_spelled(events: list[TurnEvent]) -> None:
    positions = list(accumulate(events, lambda at, event: at.after(event), initial=START))
    assert len({str(position) for position in positions}) == len(positions)
    assert [Position.parse(str(position)) for position in positions] == positions


def test_what_is_no_id_of_ours_is_no_position() -> None:
    spellings = ("", "1", "1.2.3", "1.2.3.-4", "1.2.3.4.5", "a.b.c.d", "1.2.3.4\n", "9999999999.0.0.0", "٣.0.0.0")
    assert [Position.parse(spelled) for spelled in spellings] == [None] * len(spellings)
