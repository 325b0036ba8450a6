"""Citation markers, whatever way the text was cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.citations import CitationFilter


def run(pieces: list[str], given: int = 3) -> tuple[str, tuple[int, ...]]:
    citations = CitationFilter(given)
    shown = "".join(map(citations.feed, pieces)) + citations.flush()
    return shown, citations.cited


@pytest.mark.parametrize(
    ("said", "shown", "cited"),
    [
        ("Yes [1].", "Yes [1].", (1,)),
        ("Yes [4].", "Yes.", ()),
        ("Yes [0].", "Yes.", ()),
        ("Yes[2][9] or [3].", "Yes[2] or [3].", (2, 3)),
        ("Yes [1, 7].", "Yes [1].", (1,)),
        ("Yes [2-5].", "Yes [2, 3].", (2, 3)),
        ("Yes [2–3].", "Yes [2–3].", (2, 3)),
        ("Yes [ 9 ].", "Yes.", ()),
        ("No [marker] and [ ] and [1.", "No [marker] and [ ] and [1.", ()),
        ("A list: a[0], `b[9]` and [9].", "A list: a[0], `b[9]` and.", ()),
        ("Bees dance[1], ants march[9].", "Bees dance[1], ants march.", (1,)),
        ("~~~\nc[9]\n~~~ then [9]", "~~~\nc[9]\n~~~ then", ()),
        ("```\nc[9]\n``` then [9]", "```\nc[9]\n``` then", ()),
        ("A lone ` tick [9]\nand [9]", "A lone ` tick\nand", ()),
        ("[1](https://example.com)", "[1](https://example.com)", (1,)),
        ("", "", ()),
    ],
)
def test_only_what_was_given_is_cited(said: str, shown: str, cited: tuple[int, ...]) -> None:
    assert run([said]) == (shown, cited)
    assert run(list(said)) == (shown, cited)


def test_without_passages_nothing_can_be_cited() -> None:
    assert run(["Yes [1]. [2]"], given=0) == ("Yes.", ())


def test_without_passages_an_index_is_left_alone() -> None:
    said = "Use items[0], items[12] or m[0][1]; x = y[3]"
    assert run([said], given=0) == (said, ())
    assert run(list(said), given=0) == (said, ())


def test_only_the_beginning_of_a_marker_is_held_back() -> None:
    citations = CitationFilter(3)
    assert citations.feed("Plain words") == "Plain words"
    assert citations.feed(" and [") == " and"
    assert citations.feed("1") == ""
    assert citations.feed("] more") == " [1] more"


def test_an_opening_bracket_that_never_closes_is_not_held_for_ever() -> None:
    citations = CitationFilter(3)
    assert len(citations.feed("[" + "1" * 500)) > 200


pieces = st.lists(
    st.sampled_from(["~~~", "`", "``", "```", " ", "[", "]", "[1]", "[9]", "1", ",", "-", "a", "\n", "[2, 9]", "é"]),
    max_size=30,
)


@given(pieces, st.lists(st.integers(0, 80), max_size=20))
def test_what_comes_out_does_not_depend_on_the_cuts(said: list[str], cuts: list[int]) -> None:
    whole = "".join(said)
    bounds = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    cut_up = [whole[start:end] for start, end in pairwise(bounds)]
    assert run(cut_up) == run([whole])
    assert run(cut_up, given=0) == run([whole], given=0)


@given(pieces)
def test_what_is_shown_once_would_be_shown_again(said: list[str]) -> None:
    shown, cited = run(said)
    again, cited_again = run([shown])
    if "`" not in shown and "~" not in shown:
        assert (again, cited_again) == (shown, cited)
