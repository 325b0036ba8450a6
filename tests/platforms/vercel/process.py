"""A built function at work: started as Vercel starts it, through its own handler, on the socket that it announces."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from tests.platforms.vercel.build import Function

STARTS_WITHIN = 60.0
"""Seconds, on a machine that is busy with other tests."""

TELLS_WITHIN = 10.0


class NotStarted(Exception):
    """The function ended before it listened. The message is what it told the platform, or wrote."""


@dataclass
class Messages:
    """What a function has told the platform, oldest first; `arrived` is notified of each."""

    all: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, message: dict[str, Any]) -> None:
        """Take one in."""
        async with self.arrived:
            self.all.append(message)
            self.arrived.notify_all()

    def find(self, kind: str, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return the first of this kind about this request; nothing when there is none yet."""
        told = (message for message in self.all if message["type"] == kind)
        return next((message for message in told if message["payload"].get("context") == context), dict[str, Any]())


@dataclass
class Running:
    """A function's process.

    Attributes:
        client: speaks HTTP to it, as Vercel's proxy does.
        messages: what it has told the platform so far.
    """

    process: asyncio.subprocess.Process
    client: httpx.AsyncClient
    messages: Messages

    async def told(self, kind: str, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """Wait until the function has told the platform this about this request, and return it.

        Raises:
            TimeoutError: it has not, within `TELLS_WITHIN`.
        """
        async with asyncio.timeout(TELLS_WITHIN), self.messages.arrived:
            return await self.messages.arrived.wait_for(lambda: self.messages.find(kind, context))


@asynccontextmanager
async def running(function: Function, variables: Mapping[str, str]) -> AsyncGenerator[Running]:
    """Start a function with these variables and nothing else of this process's environment; kill it at the end.

    Raises:
        NotStarted: it gave up.
    """
    folder = Path(tempfile.mkdtemp(prefix="parley-ipc-", dir="/tmp"))  # a socket's path has to be short
    messages = Messages()
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for message in _messages(reader):
            await messages.add(message)
            if message["type"] == "server-started":
                started.set_result(message["payload"]["httpPort"])
        writer.close()

    server = await asyncio.start_unix_server(listen, folder / "ipc", limit=2**24)
    with (folder / "stderr").open("wb") as written:
        process = await _spawn(function, {**variables, "VERCEL_IPC_PATH": str(folder / "ipc")}, written)
    try:
        if not await _starts(process, started):
            raise NotStarted(_reason(messages.all) or (folder / "stderr").read_text())
        port = started.result()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield Running(process, client, messages)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        server.close()
        await server.wait_closed()
        shutil.rmtree(folder)


async def _spawn(function: Function, variables: Mapping[str, str], stderr: IO[bytes]) -> asyncio.subprocess.Process:
    module = function.config["handler"].rpartition(".")[0]
    return await asyncio.create_subprocess_exec(
        interpreter(function),
        f"{module}.py",
        cwd=function.folder,
        env={"PATH": os.defpath, "LANG": "C.UTF-8", **function.config["environment"], **variables},
        stderr=stderr,
    )


def interpreter(function: Function) -> Path:
    """Return the Python that the function's configuration names, with no packages of ours."""
    return Path(sys.base_prefix) / "bin" / function.config["runtime"]


async def _starts(process: asyncio.subprocess.Process, started: asyncio.Future[int]) -> bool:
    """Wait until the function listens, or has ended; return whether it listens."""
    ended = asyncio.create_task(process.wait())
    try:
        async with asyncio.timeout(STARTS_WITHIN):
            await asyncio.wait((started, ended), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
    return started.done()


def _reason(messages: Sequence[Mapping[str, Any]]) -> str:
    given_up = (message for message in messages if message["type"] == "unrecoverable-error")
    return "\n".join(message["payload"]["message"] for message in given_up)


async def _messages(reader: asyncio.StreamReader) -> AsyncGenerator[dict[str, Any]]:
    """Yield what a function tells the platform: JSON values, each ended by a zero byte."""
    while True:
        try:
            raw = await reader.readuntil(b"\0")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        yield json.loads(raw[:-1])
