"""The API as a local part: every function behind one port."""

import asyncio
import socket
import sys
from typing import Final

import uvicorn

from local.part import until_told_to_end

LAST_WORDS: Final = 2
"""Seconds for the answers under way when we are told to end."""


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets:
            print("ready http://{}:{}".format(*sockets[0].getsockname()), flush=True)
        told = asyncio.create_task(until_told_to_end())
        told.add_done_callback(lambda _: setattr(self, "should_exit", True))


def main() -> None:
    """Run as a local part, on a bound socket that the starter hands over: `python -m local.api DESCRIPTOR`."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    config = uvicorn.Config(
        "lib.web.local:app", access_log=False, proxy_headers=False, timeout_graceful_shutdown=LAST_WORDS
    )
    asyncio.run(_Server(config).serve([listener]))


if __name__ == "__main__":
    main()
