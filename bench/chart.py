"""A picture of `bench/results.json`: the tokens that each relay passes on for a second of processor time.

    python bench/chart.py PICTURE.svg

It is plain SVG on no background, whose text is readable on a light page and on a dark one.
"""

import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from bench.lineup import AIOHTTP, HTTPX, LITELLM, PARLEY, USUAL
from bench.report import RESULTS
from bench.streams import Row

AT_ONCE: Final = 50
SHOWN: Final = {
    PARLEY: "a whole turn: sign-in, history, answer kept, log",
    AIOHTTP: "bytes passed on",
    HTTPX: "bytes passed on, by Starlette",
    USUAL: "sign-in, history, answer kept",
    LITELLM: "frames read and written anew, a key checked",
}
"""Who is shown, and what their relay does."""

_WIDTH, _LABEL, _BAR, _LINE = 760, 300, 22, 46
_TOP = 56
_STYLE: Final = """
text{font:13px -apple-system,BlinkMacSystemFont,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.title{font-size:15px;font-weight:600}.name{font-weight:600}.does{font-size:11px;fill:#59636e}
.other{fill:#8c959f}.parley{fill:#1a7f37}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.does{fill:#9198a1}.other{fill:#6e7681}.parley{fill:#3fb950}}
"""


class _Results(msgspec.Struct):
    figures: list[Row]


def chart(rows: Sequence[Row]) -> str:
    """Return the picture of what was measured with 50 streams at once, the fastest first.

    Raises:
        ValueError: nothing was.
    """
    shown = [(row, row.per_cpu) for row in rows if row.at_once == AT_ONCE and row.relay in SHOWN and row.per_cpu]
    if not shown:
        raise ValueError(f"There are no figures of {AT_ONCE} streams: run `make bench` first.")
    shown.sort(key=lambda pair: -pair[1])
    most = shown[0][1]
    title = f"Tokens for a second of processor time, {AT_ONCE} streams at once"
    height = _TOP + _LINE * len(shown)
    told = "; ".join(f"{row.relay} {value:,.0f}" for row, value in shown)
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(f"{title}: {told}")}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="0" y="24">{title}</text>',
        *(_bar(row.relay, value, value / most, _TOP + _LINE * place) for place, (row, value) in enumerate(shown)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _bar(name: str, value: float, part: float, top: int) -> str:
    """Return one relay's line: its name, what it does, and its bar, `part` of the longest."""
    length = part * (_WIDTH - _LABEL - 70)
    kind = "parley" if name == PARLEY else "other"
    return (
        f'<text class="name" x="0" y="{top + 10}">{escape(name)}</text>'
        f'<text class="does" x="0" y="{top + 25}">{escape(SHOWN[name])}</text>'
        f'<rect class="{kind}" x="{_LABEL}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="3"/>'
        f'<text x="{_LABEL + length + 8:.1f}" y="{top + 16}">{value:,.0f}</text>'
    )


def main() -> None:
    """Write the picture."""
    picture = Path(sys.argv[1])
    picture.write_text(chart(msgspec.json.decode(RESULTS.read_bytes(), type=_Results).figures))


if __name__ == "__main__":
    main()
