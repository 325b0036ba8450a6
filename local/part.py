"""How a local part runs: a process of its own, on loopback, that dies with whoever started it.

A part binds a free port, prints `ready URL` on its standard output once it serves, and ends on SIGTERM, on SIGINT, or
when its standard input closes, which also happens when its parent is killed.
"""

import asyncio
import os
import signal
import sys

from aiohttp import web


def serve(app: web.Application) -> None:
    """Serve `app` as a local part until told to end."""
    asyncio.run(_serve(app))


async def _serve(app: web.Application) -> None:
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

    loop.add_reader(sys.stdin.fileno(), read)
    await end.wait()
