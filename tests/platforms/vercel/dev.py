"""`vercel dev --local`: the CLI's own server of the tree, without a login."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from tests.platforms.vercel.build import CLI, environment

READY: Final = b"Ready! Available at"
CONFIG: Final = "vercel.dev.json"
STARTS_WITHIN: Final = 60.0
ENDS_WITHIN: Final = 30.0
"""Seconds."""

PORT_OPTIONS: Final = ("--queue-port", "--runtime-cache-port", "--schedules-port")


@asynccontextmanager
async def developing(tree: Path, scratch: Path, variables: Mapping[str, str]) -> AsyncGenerator[str]:
    """Serve a fresh copy of the tree with these variables, and yield its URL.

    Raises:
        AssertionError: the CLI ended before it was ready; the message is what it printed.
    """
    (tree / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    (tree / CONFIG).write_text(_config(tree / "vercel.json"))
    port, *others = free_ports(1 + len(PORT_OPTIONS))
    options = [text for option, other in zip(PORT_OPTIONS, others, strict=True) for text in (option, str(other))]
    process = await asyncio.create_subprocess_exec(
        *(CLI, "dev", "--local", "--yes", "--local-config", CONFIG, "--listen", f"127.0.0.1:{port}", *options),
        cwd=tree,
        env=environment(scratch),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        assert process.stdout
        await _ready(process.stdout)
        reading = asyncio.create_task(process.stdout.read())
        yield f"http://127.0.0.1:{port}"
        reading.cancel()
    finally:
        await _end(process)


def _config(table: Path) -> str:
    """Return `vercel.json` without what `vercel dev` refuses.

    Its own builder gives back a function's longest run, and the server takes that for the builder's mistake.
    """
    config = json.loads(table.read_text())
    for limits in config["functions"].values():
        del limits["maxDuration"]
    return json.dumps(config)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [taken.getsockname()[1] for taken in sockets]


async def _ready(printed: asyncio.StreamReader) -> None:
    lines: list[bytes] = []
    async with asyncio.timeout(STARTS_WITHIN):
        while not lines or READY not in lines[-1]:
            lines.append(await printed.readline())
            assert lines[-1], b"".join(lines).decode()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the CLI, then whatever is left of the process group that it was started with."""
    try:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(ENDS_WITHIN):
            await process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
