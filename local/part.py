"""How a local part runs: a process of its own, on loopback, that dies with whoever started it.

A part prints `ready URL` on its standard output once it serves, on a port that is free, and ends on SIGTERM, on SIGINT,
or when its standard input closes, which also happens when its parent is killed.
"""

import asyncio
import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import web

PR_SET_PDEATHSIG: Final = 1
"""From `linux/prctl.h`: the signal that a process gets when its parent dies."""


class PartFailed(Exception):
    """A local part cannot start or go on. The message is one sentence for the person at the terminal."""


def installed(package: str) -> Path:
    """Return the folder of an installed package, wanted for the files it carries, without importing it.

    Raises:
        PartFailed: when it is not installed.
    """
    found = find_spec(package)
    if found is None or found.origin is None:
        raise PartFailed(f"{package} is not installed here: `make dev` installs it.")
    return Path(found.origin).parent


def serve(app: "web.Application") -> None:
    """Serve `app` as a local part until told to end."""
    asyncio.run(_serve(app))


async def _serve(app: "web.Application") -> None:
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"ready http://{host}:{port}", flush=True)
    try:
        await until_told_to_end()
    finally:
        await runner.cleanup()


async def until_told_to_end() -> None:
    """Return on SIGTERM, on SIGINT, or at the end of standard input."""
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, end.set)

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            end.set()

    with suppress(PermissionError):  # a file, or /dev/null, has no end that can be waited for
        loop.add_reader(sys.stdin.fileno(), read)
    await end.wait()


def dies_with_parent(signum: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` by which a child gets `signum` when the thread that started it dies, however it dies.

    For children that do not watch their standard input. Linux only; elsewhere it does nothing.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signum)


@contextmanager
def sole_use(folder: Path, *, patience: float) -> Generator[int]:
    """Hold `folder` for this process and for those it hands the yielded file descriptor to.

    The kernel lets go when the last of them is gone, so a process that was killed leaves no stale lock, and one that
    is still ending is waited for, up to `patience` seconds.

    Raises:
        PartFailed: when someone else holds the folder for longer.
    """
    held = os.open(folder, os.O_RDONLY)
    try:
        give_up = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise PartFailed(f"{folder} is in use by another process.") from None
                time.sleep(0.05)
        yield held
    finally:
        os.close(held)
