"""What an open stream holds of the memory: how much a fresh process grows while 200 turns stream.

    make bench ONLY=memory

The process has answered ten people before. The pace is that of a slow model, at which the relay keeps up, so that it is
streams that are measured and not what piles up. The most that was seen counts.
"""

import asyncio
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.askers import askers
from bench.bars import Bar
from bench.lineup import LOAD_CORE, MOST, Starter, asking, figures_of
from bench.load import Asked, Request
from bench.processes import resident
from local.child import running
from local.postgres import postgres
from scripts.init_db import upgrade

CHUNKS: Final = 100
PACE: Final = 100
"""Milliseconds."""
BAR: Final = 100.0
"""KiB of an open stream."""


def measure() -> list[Bar]:
    """Return the bar of an open stream's memory, and that no answer went wrong meanwhile."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        with tempfile.TemporaryDirectory(prefix="parley-bench-", dir="/tmp") as name, ExitStack() as stack:
            folder = Path(name)
            folder.chmod(0o755)  # root's Postgres runs as somebody else
            database = stack.enter_context(postgres(folder / "postgres", fsync="off"))
            upgrade(database)
            model = stack.enter_context(running("bench.model", "--chunks", str(CHUNKS), "--pace-ms", str(PACE)))
            url, process = Starter(stack, folder, model).parley(database)
            requests = asyncio.run(askers(database, MOST))
            _most(url, process, requests[:10])
            before = resident(process)
            most, wrong = _most(url, process, requests)
    finally:
        os.sched_setaffinity(0, usual)
    each = (most - before) / max(1, MOST - wrong) / 1024
    return [
        Bar(f"memory of an open stream, {MOST} streams", each, BAR, unit="KiB"),
        Bar("answers that went wrong while memory was measured", wrong, 0),
    ]


def _most(url: str, process: int, requests: list[Request]) -> tuple[int, int]:
    """Let everybody ask once, so that all streams are open at one time.

    Returns:
        The most bytes that the process held, and how many answers went wrong.
    """
    whole = CHUNKS * PACE / 1000
    asked = Asked(
        url=url,
        requests=requests,
        tokens=CHUNKS,
        end=b'"saved":true',
        repeats=CHUNKS,
        spread=whole / 2,
        seconds=whole / 4,
    )
    most = 0
    with asking(asked) as load:
        while load.poll() is None:
            most = max(most, resident(process))
            time.sleep(0.02)
        figures = figures_of(load)
    return most, sum(figures.errors.values())


if __name__ == "__main__":
    for bar in measure():
        print(f"{bar.name}: {bar.value:.1f}, {bar.asked}")
