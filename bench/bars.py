"""Bars: what was measured beside what it has to be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure and its bar.

    Attributes:
        name: what was measured.
        value: the figure.
        bar: what it has to be.
        at_least: whether that is the least it may be; else it is the most.
        unit: of both, such as `ms`; empty for a ratio or a number.
    """

    name: str
    value: float
    bar: float
    at_least: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is what it has to be."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    @property
    def asked(self) -> str:
        """The bar in words."""
        return f"at {'least' if self.at_least else 'most'} {self.bar:g} {self.unit}".rstrip()
