"""Processes that are measured: on which core they run, what they have used of it, what they hold of the memory."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from local.child import ROOT
from local.part import dies_with_parent

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def processor_time(process: int) -> float:
    """Return the seconds of processor time that a process has used, and those of its children that are there.

    That is `utime + stime` of `/proc/PID/stat`, which knows hundredths of a second; what its threads have used is
    known to the nanosecond in `schedstat`, and taken where the kernel tells it.
    """
    return sum(_own_time(one) for one in (process, *_children(process)))


def _own_time(process: int) -> float:
    folder = _PROC / str(process)
    try:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in (folder / "task").iterdir()) / 1e9
    except FileNotFoundError:
        return _ticks(process) / _TICKS


def _ticks(process: int) -> int:
    try:
        fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0  # it has ended
    return int(fields[11]) + int(fields[12])


def _children(process: int) -> list[int]:
    try:
        return [int(child) for child in (_PROC / str(process) / "task" / str(process) / "children").read_text().split()]
    except FileNotFoundError:
        return []


def resident(process: int) -> int:
    """Return the bytes of memory that a process holds (RSS)."""
    return int((_PROC / str(process) / "statm").read_text().split()[1]) * _PAGE


@contextmanager
def pinned(
    command: Sequence[str], *, core: int, folder: Path, port: int, **environment: str
) -> Generator[tuple[str, int]]:
    """Run a program on one core, and yield its URL and its process once it listens on `port`.

    It runs in `folder`, where its log goes, and knows nothing of this environment but what is given.

    Raises:
        RuntimeError: it ended, or did not listen within a minute; the message holds the end of its log.
    """
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), "PATH": os.defpath, "HOME": str(folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=partial(_settle, core),
        )
        try:
            _until_it_listens(process, port, log)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _settle(core: int) -> None:
    os.sched_setaffinity(0, {core})
    dies_with_parent(signal.SIGTERM)()


def _until_it_listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    give_up = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args} does not listen:\n{log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]
