"""A line to Postgres that counts what goes over it: statements, and round trips."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

_STATEMENTS: Final = frozenset(b"EQ")
"""What runs a statement: Execute, or a Query that is text alone."""
LAG: Final = 0.01
"""Seconds that whatever is asked takes to the server. It is counted only then: what begins with the end of an answer
comes after it."""
_STARTUP: Final = 3
"""The protocol's first number in the message that begins a session; the requests before it have others."""


@dataclass(frozen=True, slots=True)
class Count:
    """What has gone over the line.

    Attributes:
        round_trips: how often a client has spoken after the server had.
        statements: how many the server was given, those that travel together each for itself.
    """

    round_trips: int = 0
    statements: int = 0

    def __sub__(self, other: "Count") -> "Count":
        return Count(self.round_trips - other.round_trips, self.statements - other.statements)


class Line:
    """Counts by the messages of Postgres's protocol (https://www.postgresql.org/docs/current/protocol-message-formats.html)."""

    def __init__(self, database_url: str) -> None:
        """Lead to the server on the unix socket that a URL names."""
        parts = urlsplit(database_url)
        self._socket = Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432"
        self._database = parts.path
        self.count = Count()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[str]:
        """Yield the URL under which the server is reached over this line."""
        async with await asyncio.start_server(self._connect, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            yield f"postgresql://postgres@127.0.0.1:{port}{self._database}"

    async def quiet(self, *, seconds: float = 0.2) -> Count:
        """Return what was counted, once nothing was for so long."""
        while True:
            before = self.count
            await asyncio.sleep(seconds)
            if self.count == before:
                return before

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        session = _Session(self)
        with suppress(ConnectionError):
            await asyncio.gather(
                _pass_on(reader, server_writer, session.asked, LAG),
                _pass_on(server_reader, writer, session.answered, 0),
            )

    def add(self, *, round_trips: int = 0, statements: int = 0) -> None:
        """Count."""
        self.count = Count(self.count.round_trips + round_trips, self.count.statements + statements)


class _Session:
    """One connection: whose turn it is to speak, and what is left of a message that came in pieces."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._rest = b""
        self._began = False
        self._server_spoke = True

    def answered(self, _data: bytes) -> None:
        self._server_spoke = True

    def asked(self, data: bytes) -> None:
        if self._server_spoke:
            self._server_spoke = False
            self._line.add(round_trips=1)
        self._rest += data
        while (message := self._message()) is not None:
            self._line.add(statements=message in _STATEMENTS)

    def _message(self) -> int | None:
        """Take the next whole message and return its kind, 0 for one of those before a session begins."""
        kinds = 1 if self._began else 0  # only then does a message begin with its kind
        if len(self._rest) < kinds + 4:
            return None
        end = kinds + int.from_bytes(self._rest[kinds : kinds + 4])
        if len(self._rest) < end:
            return None
        message, self._rest = self._rest[:end], self._rest[end:]
        if self._began:
            return message[0]
        self._began = int.from_bytes(message[4:6]) == _STARTUP
        return 0


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[bytes], None], lag: float
) -> None:
    while data := await reader.read(65536):
        await asyncio.sleep(lag)
        count(data)
        writer.write(data)
        await writer.drain()
    writer.close()
