"""Starts local parts and scripts, watches them, and ends them all together."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from local.part import PartFailed, dies_with_parent

ROOT: Final = Path(__file__).resolve().parent.parent
STOP_TIMEOUT: Final = 5.0
"""Seconds for a process to end once it is told to."""


class Supervisor:
    """The processes of one run. Each writes to a log file of its own name in `logs`."""

    def __init__(self, logs: Path, held: int, group: asyncio.TaskGroup, ending: AsyncExitStack) -> None:
        """Use `supervisor()`."""
        self._logs = logs
        self._held = held
        self._group = group
        self._ending = ending
        self._beside: list[asyncio.Task[Any]] = []

    def soon[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do `work` beside the block and no longer than it; where it fails, everything ends."""
        task = self._group.create_task(work)
        self._beside.append(task)
        return task

    def leave(self) -> None:
        """Give up what is still done beside the block, watching among it."""
        for task in self._beside:
            task.cancel()

    def log(self, name: str) -> Path:
        """Return where the process `name` writes its log."""
        return self._logs / f"{name}.log"

    async def start(self, name: str, *arguments: str, hand_over: tuple[int, ...] = (), **environment: str) -> str:
        """Run the part `python ARGUMENTS` from now on, and return its URL once it serves.

        It inherits the descriptors of `hand_over`, and our environment with `environment` on top.

        Raises:
            PartFailed: when it ends instead.
        """
        began = time.monotonic()
        process = await self._spawn(name, arguments, environment, stdin=PIPE, stdout=PIPE, hand_over=hand_over)
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        word, _, url = (await process.stdout.readline()).decode().strip().partition(" ")
        if word != "ready":
            raise self._failure(name, await process.wait())
        self.soon(self._watch(name, process))
        report(name, f"ready {time.monotonic() - began:4.1f} s")
        return url

    async def run(self, name: str, *arguments: str, **environment: str) -> None:
        """Run the script `python ARGUMENTS` to its end.

        Raises:
            PartFailed: when it fails.
        """
        began = time.monotonic()
        process = await self._spawn(name, arguments, environment)
        if code := await process.wait():
            raise self._failure(name, code)
        report(name, f"ready {time.monotonic() - began:4.1f} s")

    async def _spawn(
        self,
        name: str,
        arguments: tuple[str, ...],
        environment: dict[str, str],
        *,
        stdin: int = DEVNULL,
        stdout: int | None = None,
        hand_over: tuple[int, ...] = (),
    ) -> Process:
        self.log(name).write_bytes(b"")
        with self.log(name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=stdin,
                stdout=stdout or log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **environment},
                pass_fds=(self._held, *hand_over),
                process_group=0,  # Ctrl-C is for us: the order in which things end is ours
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )
        self._ending.push_async_callback(_end, process)
        return process

    async def _watch(self, name: str, process: Process) -> None:
        raise self._failure(name, await process.wait())

    def _failure(self, name: str, code: int) -> PartFailed:
        said = self.log(name).read_text(errors="replace").strip().rpartition("\n")[2].rstrip(".")
        return PartFailed(f"{name} ended with exit code {code}: {said or 'it said nothing'} (see {self.log(name)}).")


@asynccontextmanager
async def supervisor(data: Path, held: int) -> AsyncGenerator[Supervisor]:
    """Supervise processes during the block, and end them with it, the last started first.

    Their logs are in `data`/logs. The descriptor `held` stays open in each of them, to its end.

    Raises:
        PartFailed: when a part ends by itself, or work done beside the block fails so.
    """
    logs = data / "logs"
    logs.mkdir(exist_ok=True)
    async with AsyncExitStack() as ending:
        try:
            async with asyncio.TaskGroup() as group:
                parts = Supervisor(logs, held, group, ending)
                yield parts
                parts.leave()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None


def report(name: str, what: str) -> None:
    """Print a line of progress."""
    print(f"  {name:<12}{what}", flush=True)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
