"""However a model cuts its answer into pieces, what is shown of it is the same, and leads to the same place."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.citations import CitationFilter
from lib.chat.events import ReasoningDelta, Status, TextDelta, TurnEvent
from lib.chat.position import START, Position
from lib.encoders.base import Encoder
from lib.encoders.book import BookEncoder
from lib.encoders.native import NativeEncoder
from lib.encoders.team import TeamEncoder

Said = tuple[type[TextDelta] | type[ReasoningDelta] | type[Status], str]
PLACE: Final = Position(2, 7, 3, 1)
"""Where a reader may be who takes a stream up."""

words = st.sampled_from(
    ["[1]", "[9]", " [2, 9]", "[", "]", "1", " ", "`", "```", "~~~", "\n", "a", "[2-4]", "🌱", "e\u0301"]
)
texts = st.lists(words, max_size=12).map("".join)
turns = st.lists(st.tuples(st.sampled_from([TextDelta, TextDelta, ReasoningDelta, Status]), texts), max_size=5)


@st.composite
def cut_up(draw: st.DrawFn, said: Sequence[Said]) -> list[Said]:
    """Cut what is said into pieces, but for statuses, which are whole."""
    pieces: list[Said] = []
    for kind, text in said:
        places = st.lists(st.integers(0, len(text)), max_size=0 if kind is Status else 8)
        edges = [0, *sorted(draw(places)), len(text)]
        pieces += [(kind, text[start:end]) for start, end in pairwise(edges)]
    return pieces


def shown(said: Sequence[Said], given: int) -> list[TurnEvent]:
    """Return the events of what is said, as a turn makes them."""
    citations, made = CitationFilter(given), list[TurnEvent]()
    for kind, piece in said:
        if text := citations.feed(piece) if kind is TextDelta else piece:
            made.append(kind(text))
    rest = citations.flush()
    return [*made, TextDelta(rest)] if rest else made


def told(encoder: Encoder, events: Sequence[TurnEvent]) -> tuple[list[tuple[str, str]], str]:
    """Return what an encoder's frames tell, neighbours of a kind joined, and the id of the last that shows text."""
    frames: list[tuple[str, str]] = []
    last = ""
    for event in events:
        for frame in encoder.encode(event).decode().removesuffix("\n\n").split("\n\n"):
            fields = {name: value for line in frame.split("\n") for name, _, value in (line.partition(": "),)}
            if "data" not in fields:
                continue
            kind, text = _text(fields.get("event"), json.loads(fields["data"]))
            last = fields.get("id", "")
            joins = frames and frames[-1][0] == kind and kind != "status"
            frames.append((kind, (frames.pop()[1] if joins else "") + text))
    return frames, last


def _text(event: str | None, data: dict[str, Any]) -> tuple[str, str]:
    """Return the kind of a frame and its text."""
    inside: dict[str, Any] = data.get("data", data)
    kind: str = event or data.get("type") or "message"
    return kind, inside.get("text") or inside.get("content") or inside.get("description") or ""


ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {
    "book": BookEncoder,
    "native": NativeEncoder,
    "team": TeamEncoder,
    "native, taken up": lambda: NativeEncoder(PLACE),
    "team, taken up": lambda: TeamEncoder(PLACE),
}


@pytest.mark.parametrize("dialect", ENCODERS)
@given(data=st.data(), said=turns, passages=st.sampled_from([0, 3]))
def test_what_is_shown_does_not_depend_on_the_cuts(
    dialect: str, data: st.DataObject, said: list[Said], passages: int
) -> None:
    make = ENCODERS[dialect]
    whole = told(make(), shown(said, passages))
    one_by_one = [(kind, piece) for kind, text in said for piece in ([text] if kind is Status else text)]
    for pieces in (data.draw(cut_up(said)), one_by_one):
        assert told(make(), shown(pieces, passages)) == whole


@pytest.mark.parametrize("place", [START, PLACE])
@given(data=st.data(), said=turns)
def test_an_id_spells_what_has_been_shown(place: Position, data: st.DataObject, said: list[Said]) -> None:
    encoder, at = NativeEncoder(place), place
    for event in shown(data.draw(cut_up(said)), 3):
        at = at.after(event)
        assert f"id: {at}\n".encode() in encoder.encode(event)
