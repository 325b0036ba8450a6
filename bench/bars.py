"""What every benchmark hands to the table of them all: a figure, and the bar it has to meet."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that was measured, beside what it has to be.

    Attributes:
        name: what was measured, with its unit where it has one.
        value: the figure.
        bar: what it is held against, in the same unit.
        met: whether it holds.
        at_least: whether the value has to be at least the bar; else it has to be at most the bar.
    """

    name: str
    value: float
    bar: float
    met: bool
    at_least: bool
