"""A TCP proxy in front of Postgres that fails on command: it refuses, drops, or falls silent."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

from lib.unhindered import settle

READY = b"Z\x00\x00\x00\x05I"
"""The server's word that a client may ask (https://www.postgresql.org/docs/current/protocol-message-formats.html)."""


class PostgresProxy:
    """Forwards to the server that a URL names, until told otherwise.

    Attributes:
        connections: how many were ever accepted.
        messages: how many times a client has spoken: its round trips.
        lag: seconds by which each of the server's replies is late.
    """

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        self._socket = Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432"
        self._database = parts.path
        self._live = asyncio.Event()
        self._live.set()
        self._refusing = False
        self._swallowed_after: int | None = None
        self._logins_only = False
        self._hangs_up = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self.messages = 0
        self.lag = 0.0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._live.set()
        self._server.close()
        self.drop()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """What a client is configured with."""
        port = self._server.sockets[0].getsockname()[1]
        return f"postgresql://postgres@127.0.0.1:{port}{self._database}"

    def refuse(self) -> None:
        """Drop every connection and close each new one at once."""
        self._refusing = True
        self.drop()

    def drop(self) -> None:
        """Drop every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def swallow(self, *, after: int = 0) -> None:
        """Let the next request through, then drop the connection in place of the server's reply.

        So many replies come `after` all before that.
        """
        self._swallowed_after = after

    def stall(self) -> None:
        """Forward nothing until `heal`, and keep every connection open."""
        self._live.clear()

    def stall_after_login(self) -> None:
        """Forward what it takes to log in, and nothing after it."""
        self._logins_only = True

    def drop_after_login(self) -> None:
        """Forward what it takes to log in, and hang up."""
        self._logins_only, self._hangs_up = True, True

    def heal(self) -> None:
        """Forward again."""
        self._refusing = self._logins_only = self._hangs_up = False
        self._live.set()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refusing:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, server_writer}
        with suppress(ConnectionError):
            await asyncio.gather(self._copy(reader, server_writer, counted=1), self._copy(server_reader, writer))
        self._writers -= {writer, server_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: int = 0) -> None:
        while data := await reader.read(65536):
            self.messages += counted
            await self._live.wait()
            if self.lag and not counted:
                await asyncio.sleep(self.lag)
            if self._swallowed_after is not None and not counted:
                if self._swallowed_after == 0:
                    self._swallowed_after = None
                    writer.transport.abort()
                    return
                self._swallowed_after -= 1
            writer.write(data)
            await writer.drain()
            if self._logins_only and data.endswith(READY):
                if self._hangs_up:
                    break
                self.stall()
        writer.close()


async def asked(proxy: PostgresProxy, round_trips: int) -> None:
    """Return once the database has been asked so often, and has answered."""
    async with asyncio.timeout(2):
        while proxy.messages < round_trips:  # noqa: ASYNC110 - the proxy counts, and tells nobody
            await asyncio.sleep(0)
    await settle()
