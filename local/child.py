"""Run a local part for as long as a block of code lasts, for the tests and the benchmarks."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

from local.part import PartFailed

ROOT: Final = Path(__file__).resolve().parents[1]


@contextmanager
def running(module: str, *arguments: str) -> Generator[str]:
    """Start `python -m MODULE ARGUMENTS`, yield its URL once it serves, and end it by closing its standard input.

    Raises:
        PartFailed: it ended instead of serving.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as part:
        stdin, stdout = cast("IO[str]", part.stdin), cast("IO[str]", part.stdout)
        word, _, url = stdout.readline().strip().partition(" ")
        if word != "ready":
            raise PartFailed(f"{module} ended with status {part.wait()} instead of serving.")
        try:
            yield url
        finally:
            stdin.close()
