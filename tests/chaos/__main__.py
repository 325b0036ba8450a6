"""The proof that nothing is lost: `make chaos`, `make chaos SEED=17`, `make chaos BREAK=save-after-done`.

It exits with 1 when anything was lost, doubled or uncaught, and with 0 when nothing was. Of a build that is broken on
purpose the first is what has to happen, and the run ends once it has happened in a few seeds.
"""

import argparse
import asyncio
import sys
from typing import Final

from rich.console import Console

from tests.chaos.breakages import BREAKAGES
from tests.chaos.run import run
from tests.chaos.table import report
from tests.chaos.town import places
from tests.fixtures.postgres import open_folder

SEEDS: Final = 200
ENOUGH: Final = 3
"""Seeds that fail, after which a build that is broken on purpose is caught."""


def main() -> int:
    """Run seeds, print what came of them, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many, from 1 on")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--breakage", choices=sorted(BREAKAGES), help="a build that is broken on purpose")
    arguments = parser.parse_args()
    console = Console()
    if arguments.breakage:
        console.print(f"A build that is broken on purpose. {BREAKAGES[arguments.breakage].story}")
    console.print("A seed takes about a second; four run at a time, and all is told at the end.")
    seeds = [arguments.seed] if arguments.seed is not None else range(1, arguments.seeds + 1)
    enough = ENOUGH if arguments.breakage else None
    with places() as at, open_folder() as folder:
        outcomes = asyncio.run(run(at, folder, seeds, breakage=arguments.breakage, enough=enough))
    report(outcomes, console, asked=len(seeds), breakage=arguments.breakage)
    return 1 if any(outcome.findings for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
