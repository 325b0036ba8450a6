"""A reader that opens a stream and takes nothing of it: it holds nothing up for long."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.fixtures.people import Asker, someone
from tests.fixtures.web import Deployment, Rows

MANY = 2_000
"""Pieces of 20 kB: several times what two connections' sockets take for one who reads nothing."""


@asynccontextmanager
async def reading_nothing(asker: Asker, path: str) -> AsyncGenerator[None]:
    """Send a message over a connection that is never read from."""
    host, port = asker.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.setblocking(False)
        await loop.sock_connect(connection, (host, int(port)))
        body = json.dumps({"content": "Say much"})
        headers = {**asker.headers, "Host": host, "Content-Type": "application/json", "Content-Length": len(body)}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await loop.sock_sendall(connection, f"POST {path} HTTP/1.1\r\n{head}\r\n{body}".encode())
        yield


@pytest.mark.alone
async def test_an_answer_that_nobody_reads_is_stopped_all_the_same_and_logged_once(
    parley: Deployment, openai_double: OpenAIServer, rows: Rows
) -> None:
    asker = await someone(parley)
    conversation_id = (await asker.ask("POST", "/api/chats", json={})).json()["id"]
    openai_double.play(Script(pieces=("x" * 20_000,) * MANY, pace=0.001))
    path = f"/api/v1/conversations/{conversation_id}/messages"
    async with reading_nothing(asker, path):
        call, sent = await openai_double.next_call(), -1
        while call.sent != sent:  # until neither the reader nor the model's server takes more
            sent = call.sent
            await asyncio.sleep(0.2)
        assert sent < MANY
        (message,) = await rows(
            "SELECT id FROM messages WHERE conversation_id = %s AND status = 'streaming'", conversation_id
        )
        began = time.monotonic()
        stopped = await asker.ask("POST", f"{path}/{message['id']}/stop")
        async with asyncio.timeout(10):
            await call.gone.wait()
        assert time.monotonic() - began < 1.5
        assert stopped.json()["status"] == "stopped"
    logs = await rows("SELECT outcome FROM interaction_logs WHERE message_id = %s", message["id"])
    assert logs == [{"outcome": "stopped"}]
