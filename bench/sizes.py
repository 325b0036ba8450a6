"""What an unpacked function weighs, and which of its packages weigh most."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MEGABYTE: Final = 1024 * 1024
"""Bytes; the platforms count their limits in these."""


@dataclass(frozen=True)
class Weight:
    """The bytes of a folder: the sum of its files' sizes, however many blocks they take on a disk.

    Attributes:
        bytes: all of it.
        bytecode: the part in `.pyc` files.
        packages: the part in each package, heaviest first; what is in no package goes by its own folder.
    """

    bytes: int
    bytecode: int
    packages: Mapping[str, int]

    @property
    def megabytes(self) -> float:
        """All of it, in units of `MEGABYTE`."""
        return self.bytes / MEGABYTE


def weigh(folder: Path, packages: str) -> Weight:
    """Weigh a function; `packages` is the folder in it where pip or uv put what it needs.

    A folder of metadata (`.dist-info`) counts by its own name, since which package's it is cannot be told from it.
    """
    total = bytecode = 0
    parts: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        size = path.stat().st_size
        first, *others = path.relative_to(folder).parts
        total += size
        bytecode += size if path.suffix == ".pyc" else 0
        parts[others[0] if first == packages and others else first] += size
    return Weight(total, bytecode, dict(parts.most_common()))


def table(weights: Mapping[str, Weight], *, heaviest: int = 6) -> str:
    """Return lines to print: megabytes of each function, of its bytecode, and of its heaviest parts."""
    rows = [
        [name, f"{weight.megabytes:.1f}", f"{weight.bytecode / MEGABYTE:.1f}", _parts(weight, heaviest)]
        for name, weight in sorted(weights.items())
    ]
    return _aligned([["function", "MB", "bytecode", "heaviest parts"], *rows])


def _parts(weight: Weight, heaviest: int) -> str:
    return ", ".join(f"{name} {size / MEGABYTE:.1f}" for name, size in list(weight.packages.items())[:heaviest])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
