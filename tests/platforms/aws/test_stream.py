"""The stream function, started by the very command that the web adapter runs, out of the unpacked package."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.fixtures.web import INTERNAL_KEY, Rows, question
from tests.platforms.aws.build import Template
from tests.platforms.aws.instance import task_environment
from tests.platforms.processes import farewell, serving

FAREWELL = 0.5
"""Seconds between Lambda's SIGTERM and its SIGKILL, where an extension is registered, as the adapter is:
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown."""

PIECES = ("Parley", " is", " a", " chat", " backend", ".")


@dataclass(frozen=True)
class Streaming:
    """The running function; `client` is the adapter."""

    process: asyncio.subprocess.Process
    client: httpx.AsyncClient
    log: Path

    @asynccontextmanager
    async def ask(self, content: str) -> AsyncGenerator[AsyncGenerator[dict[str, Any]]]:
        """Ask with the internal key, and give the frames as they come."""
        headers = {"X-Internal-API-Key": INTERNAL_KEY}
        asked = self.client.stream("POST", "/api/v1/chat/stream", json=question(content), headers=headers)
        async with asked as response:
            assert response.status_code == 200, await response.aread()
            yield frames_of(response)


async def frames_of(response: httpx.Response) -> AsyncGenerator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if line:
            yield json.loads(line.removeprefix("data: "))


@pytest.fixture
async def stream(
    root: Path, tmp_path: Path, template: Template, aws: dict[str, str], openai_double: OpenAIServer
) -> AsyncGenerator[Streaming]:
    function = template.function("stream")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = function["Environment"]["Variables"] | aws
    variables |= {"OPENAI_BASE_URL": openai_double.base_url, "AWS_LWA_PORT": str(port)}
    log = tmp_path / "log"
    with log.open("wb") as written:
        # `exec -- "${LAMBDA_TASK_ROOT}/${_HANDLER}"` is what /opt/bootstrap of the adapter's layer does.
        process = await asyncio.create_subprocess_exec(
            root / function["Handler"],
            cwd="/",
            env=task_environment(root, variables),
            stdout=written,
            stderr=written,
            start_new_session=True,  # what it may have started ends with it
        )
    try:
        await serving(process, port, log)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield Streaming(process, client, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def test_each_piece_arrives_before_the_next_is_written(stream: Streaming, openai_double: OpenAIServer) -> None:
    gate = asyncio.Semaphore(0)
    openai_double.play(Script(pieces=PIECES, gate=gate))
    seen: list[str] = []
    gate.release()
    async with stream.ask("What is Parley?") as frames:
        async for frame in frames:
            if frame["status"] == "partial":
                seen.append(frame["content"])
                assert openai_double.calls[0].sent == len(seen)
                gate.release()
    assert tuple(seen) == PIECES


async def test_a_shutdown_keeps_what_had_arrived(stream: Streaming, openai_double: OpenAIServer, rows: Rows) -> None:
    openai_double.play(Script(pieces=PIECES, stall_at=2))
    async with stream.ask("What is Parley?") as frames:
        seen = ""
        async for frame in frames:
            seen += frame["content"]
            if seen == "Parley is":
                break
        assert await farewell(stream.process) < FAREWELL
    kept = await rows("SELECT status FROM messages WHERE parts #>> '{0,text}' = 'Parley is'")
    assert [row["status"] for row in kept] == ["interrupted"]


async def test_the_signal_reaches_uvicorn_itself(stream: Streaming) -> None:
    # The script is replaced by Python: a shell in between would end, and leave it running.
    listed = await asyncio.create_subprocess_exec(
        "ps", "-o", "args=", "-p", str(stream.process.pid), stdout=asyncio.subprocess.PIPE
    )
    arguments, _ = await listed.communicate()
    assert arguments.split()[1:3] == [b"-m", b"uvicorn"]


async def test_a_request_that_cannot_be_met_is_refused_in_our_words(stream: Streaming) -> None:
    for method, path, status in (("GET", "/", 404), ("GET", "/api/v1/chat/stream", 405)):
        answer = await stream.client.request(method, path)
        assert (answer.status_code, answer.json()["request_id"]) == (status, answer.headers["x-request-id"])
    answer = await stream.client.post("/api/v1/chat/stream", content=b"x" * 6_000_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
