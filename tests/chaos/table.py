"""What is printed of a proof."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.chaos.findings import Outcome


def report(outcomes: Sequence[Outcome], console: Console, *, asked: int, breakage: str | None = None) -> None:
    """Print the sums, and for each seed that failed a line with which it can be run again, and what happened in it.

    Args:
        outcomes: what came of each seed.
        console: where to print.
        asked: how many seeds were to be run; a build that is broken on purpose is caught in fewer.
        breakage: the name of such a build.
    """
    table = Table(title=f"{len(outcomes)} of {asked} seeds", show_header=False)
    for name, value in _figures(outcomes):
        table.add_row(name, value)
    console.print(table)
    for outcome in outcomes:
        if outcome.findings:
            told = "; ".join(dict.fromkeys(map(str, outcome.findings)))
            broken = f" BREAK={breakage}" if breakage else ""
            console.print(f"make chaos SEED={outcome.seed}{broken}", soft_wrap=True, highlight=False)
            console.print(f"    {escape(told)}", soft_wrap=True, highlight=False)
            _tell(outcome, console)
    failed = sum(bool(outcome.findings) for outcome in outcomes)
    promised = sum(outcome.acknowledged for outcome in outcomes)
    if breakage:
        console.print(f"Caught in {failed} seeds, as it has to be." if failed else "NOT caught.", highlight=False)
    else:
        verdict = f"{failed} seeds failed." if failed else f"All {promised} promised turns are there, once."
        console.print(verdict, highlight=False)


def _tell(outcome: Outcome, console: Console) -> None:
    """Print what happened in one seed: what went wrong, and what each question came to."""
    for line in outcome.story:
        console.print(f"    {escape(line)}", soft_wrap=True, highlight=False)


def _figures(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    faults = sum((outcome.faults for outcome in outcomes), Counter[str]())
    wrong = Counter(finding.wrong for outcome in outcomes for finding in outcome.findings)

    def total(name: str) -> int:
        return sum(getattr(outcome, name) for outcome in outcomes)

    calls = f"{total('calls') / total('answered'):.3f}, of {total('answered')}" if total("answered") else "-"
    return [
        ("turns", str(total("turns"))),
        *((f"fault: {name}", str(count)) for name, count in sorted(faults.items())),
        ("acknowledged", str(total("acknowledged"))),
        ("found exactly once", str(total("found"))),
        ("answered by a retry in its place", str(total("retried"))),
        ("spooled and replayed", str(total("spooled"))),
        ("interrupted", str(total("interrupted"))),
        ("lost", str(wrong["lost"])),
        ("duplicated", str(wrong["doubled"])),
        ("uncaught", str(wrong["uncaught"])),
        ("model calls per acknowledged turn", calls),
        ("seeds that failed", str(sum(bool(outcome.findings) for outcome in outcomes))),
    ]
