"""A program under test as a process: until it serves, and how long it takes to end."""

import asyncio
import signal
from pathlib import Path

SERVES_WITHIN = 90.0
"""Seconds, on a machine that is busy with other tests."""


class Ended(Exception):
    """The process ended before it answered. The message is what it wrote."""


async def serving(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    """Wait until the port is open, which is also what AWS's web adapter asks for every ten milliseconds.

    Raises:
        Ended: it will never be.
    """
    async with asyncio.timeout(SERVES_WITHIN):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                return
    raise Ended(log.read_text())  # noqa: ASYNC240 - nothing runs any more


async def farewell(process: asyncio.subprocess.Process) -> float:
    """Tell it to end as the platforms do, and return the seconds that it took."""
    loop = asyncio.get_running_loop()
    told = loop.time()
    process.send_signal(signal.SIGTERM)
    await process.wait()
    return loop.time() - told
