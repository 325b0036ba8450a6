"""The picture of the figures."""

from xml.etree import ElementTree

import pytest

from bench.chart import SHOWN, chart
from bench.lineup import DIRECT, PARLEY
from bench.streams import Row

SVG = "{http://www.w3.org/2000/svg}"


def row(relay: str, per_cpu: float | None, at_once: int = 50) -> Row:
    return Row(relay, at_once, 1000, per_cpu, 1, 1, 1, {}, 0)


def test_each_relay_that_was_measured_has_a_bar_as_long_as_its_figure() -> None:
    figures = {name: 1000.0 * number for number, name in enumerate(SHOWN, 1)}
    picture = chart([row(DIRECT, None), *(row(*each) for each in figures.items()), row(PARLEY, 9e9, at_once=10)])
    root = ElementTree.fromstring(picture)  # noqa: S314 - our own
    widths = [float(bar.get("width", "")) for bar in root.iter(f"{SVG}rect")]
    longest = max(figures.values())
    assert widths == pytest.approx(
        [figure / longest * max(widths) for figure in sorted(figures.values(), reverse=True)]
    )
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert {*SHOWN, "1,000", "5,000"} <= set(said)
    assert [bar.get("class") for bar in root.iter(f"{SVG}rect")].count("parley") == 1


def test_without_figures_there_is_no_picture() -> None:
    with pytest.raises(ValueError, match="no figures of 50 streams"):
        chart([row(PARLEY, 1000, at_once=10)])
