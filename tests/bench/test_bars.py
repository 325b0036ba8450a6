"""What is told of the figures."""

import json

import msgspec
import pytest

from bench.bars import Bar
from bench.lineup import AIOHTTP, DIRECT, GEMINI, HTTPX, PARLEY, WEBHOOK
from bench.load import Figures
from bench.report import results, table
from bench.streams import Row, bars


def row(relay: str, at_once: int, *, per_cpu: float, rate: float = 1000, first: float = 5, wrong: int = 0) -> Row:
    return Row(relay, at_once, rate, per_cpu, first, first, 10, {"cut short": wrong} if wrong else {}, 0.1)


def rows(*, parley: float = 1000, rate: float = 1000, first: float = 5, wrong: int = 0) -> list[Row]:
    """Every relay as Parley's bars ask for it at the most, so that Parley meets each exactly at 1000 tokens."""
    return [
        found
        for at_once in (1, 10, 50, 200)
        for found in (
            row(DIRECT, at_once, per_cpu=1, first=1),
            row(HTTPX, at_once, per_cpu=1000 / 1.6),
            row(AIOHTTP, at_once, per_cpu=2000 if at_once == 200 else 1000 / 0.75),
            row(PARLEY, at_once, per_cpu=parley, rate=rate, first=first, wrong=wrong),
            row(WEBHOOK, at_once, per_cpu=1000 / 1.3),
            row(GEMINI, at_once, per_cpu=1000 / 1.3),
        )
    ]


def missed(found: list[Bar]) -> list[str]:
    return [bar.name for bar in found if not bar.met]


def test_a_figure_meets_a_bar_that_it_equals() -> None:
    assert Bar("a", 1.6, 1.6, at_least=True).met
    assert Bar("a", 1.6, 1.6).met
    assert not Bar("a", 1.59, 1.6, at_least=True).met
    assert not Bar("a", 1.61, 1.6).met


def test_parley_meets_its_bars_where_it_is_as_good_as_they_ask() -> None:
    assert missed(bars(rows(parley=1000.001))) == [
        f"CPU a token of {name}, against Parley's, {at_once} stream{'s' if at_once > 1 else ''}"
        for at_once in (1, 10, 50, 200)
        for name in (WEBHOOK, GEMINI)
    ]  # the other paths are held against Parley's own figure, which is a little better here
    assert len(bars(rows())) == 2 + 4 + 2 + 2 + 8 + 1


@pytest.mark.parametrize(
    ("worse", "where"),
    [
        ({"parley": 999.0}, "tokens/CPU-s"),
        ({"rate": 640.0}, "tokens/s against"),
        ({"first": 16.1}, "first token over"),
        ({"wrong": 1}, "went wrong"),
    ],
)
def test_each_way_to_be_worse_misses_its_bars(worse: dict[str, float], where: str) -> None:
    found = missed(bars(rows(**worse)))  # type: ignore[arg-type]
    assert found
    assert all(where in name for name in found)


def test_a_row_is_the_median_of_its_rounds() -> None:
    seen = [Figures(tokens, 2.0, [tokens / 100], 3, {"cut short": 1}, [1.0, 0.5]) for tokens in (100, 900, 300)]
    found = Row.of(PARLEY, 50, seen)
    assert (found.per_second, found.per_cpu, found.first, found.postgres) == (150, 300, 3, 0.5)
    assert (found.answers, found.wrong) == (9, {"cut short": 3})


def test_the_results_are_json_whose_bars_say_name_value_bar_and_whether_it_is_met() -> None:
    found = bars(rows())
    kept = json.loads(msgspec.json.encode(results(["streams"], found, rows())))
    assert all(set(bar) == {"name", "value", "bar", "met"} for bar in kept["bars"])
    assert len(kept["bars"]) == len(found)
    assert kept["figures"][0]["relay"] == DIRECT
    assert table(found, rows()).row_count > len(found)
