"""The server under test, from outside: it is begun, killed, told to end, and its log is read."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
NOTICE: Final = 0.5
"""Seconds between SIGTERM and SIGKILL: what Vercel gives."""
LOOK: Final = 0.005
"""Seconds between two looks at whether a process is still there, which is nobody's child of ours."""


class Forge:
    """Makes servers (`tests/chaos/server.py`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._one_at_a_time = asyncio.Lock()

    async def make(self, log: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        """Return a new server's process id and URL. It listens already."""
        assert self._process.stdin
        assert self._process.stdout
        async with self._one_at_a_time:
            self._process.stdin.write(f"{log} {json.dumps(dict(environment))}\n".encode())
            pid, port = (await self._process.stdout.readline()).split()
        return int(pid), f"http://127.0.0.1:{int(port)}"


@asynccontextmanager
async def forge(breakage: str | None) -> AsyncGenerator[Forge]:
    """Start what makes servers, of a build that is broken on purpose if one is named."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.server", *filter(None, [breakage])),
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": os.defpath},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    assert (await process.stdout.readline()) == b"ready\n"
    try:
        yield Forge(process)
    finally:
        process.stdin.close()
        await process.wait()


@dataclass
class Server:
    """One deployment of one instance at a time.

    Attributes:
        url: where the newest process listens, or listened.
        killed: whether a process was killed without a word.
        told_to_end: whether one was told to end while people were talking to it, or may have been.
    """

    forge: Forge
    environment: Mapping[str, str]
    folder: Path
    url: str = ""
    killed: bool = False
    told_to_end: bool = False
    _pid: int = 0
    _logs: list[Path] = field(default_factory=list[Path])
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self) -> None:
        """Begin a process."""
        log = self.folder / f"{len(self._logs)}.log"
        self._logs.append(log)
        self._pid, self.url = await self.forge.make(log, self.environment)

    async def kill(self, down: float, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """End the process at once, and begin another after so many seconds, and after what is done meanwhile."""
        async with self._one_at_a_time:
            self.killed = True
            await _killed(self._pid)
            await meanwhile()
            await asyncio.sleep(down)
            await self.start()

    async def tell_to_end(self) -> None:
        """Begin another process, and tell the one before it to end, as a platform does that moves on."""
        async with self._one_at_a_time:
            self.told_to_end = True
            before = self._pid
            await self.start()
            await _told_to_end(before)

    async def end(self) -> None:
        """Tell the process to end."""
        async with self._one_at_a_time:
            await _told_to_end(self._pid)

    def lines(self) -> list[dict[str, Any] | str]:
        """Return the lines of all its logs. One that is not JSON comes as it is; one that was cut short, not at all."""
        return [line for log in self._logs for line in _lines(log)]


async def _told_to_end(pid: int) -> None:
    with suppress(ProcessLookupError, TimeoutError):
        os.kill(pid, signal.SIGTERM)
        async with asyncio.timeout(NOTICE):
            await _gone(pid)
    await _killed(pid)


async def _killed(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        await _gone(pid)


async def _gone(pid: int) -> None:
    """Return once a process is no more, which the kernel tells only its parent.

    Raises:
        ProcessLookupError: that is how it is found out.
    """
    while True:
        os.kill(pid, 0)
        await asyncio.sleep(LOOK)


def _lines(log: Path) -> list[dict[str, Any] | str]:
    if not log.exists():  # it was killed before it could say anything
        return []
    whole, _, _ = log.read_text(errors="replace").rpartition("\n")
    return [_read(line) for line in whole.splitlines()]


def _read(line: str) -> dict[str, Any] | str:
    try:
        return json.loads(line)
    except ValueError:
        return line
