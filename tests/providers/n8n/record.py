"""Records what n8n replies: `python -m tests.providers.n8n.record <the n8n program>`, as README.md beside it says."""

import asyncio
import json
import os
import socket
import sqlite3
import sys
from asyncio import StreamReader
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script

HERE: Final = Path(__file__).parent
WORKFLOWS: Final = HERE / "workflows.json"
TOKEN: Final = "secret_token_123"
START_SECONDS: Final = 180

PAYLOAD: Final = {
    "messages": [
        {"role": "user", "content": "Hello", "timestamp": "2025-01-01T10:00:00.000Z"},
        {"role": "assistant", "content": "Hi!", "timestamp": "2025-01-01T10:00:05.000Z"},
        {"role": "user", "content": "Wie heißt du? 🌱", "timestamp": "2025-01-01T10:00:10.000Z"},
    ],
    "system_prompt": "You are a helpful assistant.",
    "config": {"model": "gpt-4", "temperature": 0.7},
}
CHAT_PAYLOAD: Final = {"action": "sendMessage", "sessionId": "conversation-7", "chatInput": "Wie heißt du? 🌱"}
SETTINGS: Final = {
    "NODE_ENV": "production",
    "N8N_LISTEN_ADDRESS": "127.0.0.1",
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_PERSONALIZATION_ENABLED": "false",
    "N8N_COMMUNITY_PACKAGES_ENABLED": "false",
    "N8N_LICENSE_AUTO_RENEW_ENABLED": "false",
    "EXTERNAL_FRONTEND_HOOKS_URLS": "",
    "N8N_LOG_LEVEL": "warn",
}
"""As in n8n's own image, whose errors have no stack; nothing asks other hosts, and the only door is loopback's."""

PUBLISH: Final = "UPDATE workflow_entity SET active = 1, activeVersionId = versionId"
"""What `n8n publish:workflow` does to one workflow, in several seconds."""

SAYS: Final = Script(pieces=("Ich ", "heiße ", "Ana", " 🌱."), pace=0.05)
SAYS_MORE: Final = Script(pieces=("Und ", "du?"), pace=0.05)
FAILS: Final = Script(status=400)
BREAKS: Final = SAYS.but(cut_at=2)


def calling(name: str, words: str, **arguments: str) -> Script:
    """Return the script of a model that says a word, and then calls a tool."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": words},
        {"tool_calls": [call]},
        {"tool_calls": [{"index": 0, "function": {"arguments": json.dumps(arguments)}}]},
        {},
    ]
    frames = [
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "double-1",
            "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "tool_calls"}],
        }
        for delta in deltas
    ]
    body = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames)
    return Script(raw=f"{body}data: [DONE]\n\n".encode())


@dataclass(frozen=True)
class Case:
    """One reply to record.

    Attributes:
        name: of the file.
        workflow: its name, which is the path of its webhook too.
        scripts: what the model answers, a call each.
        token: what is sent as the bearer token.
        method: of the request.
    """

    name: str
    workflow: str
    scripts: tuple[Script, ...] = (SAYS,)
    token: str | None = None
    method: str = "POST"

    @property
    def path(self) -> str:
        """Where it is asked."""
        return f"/webhook/{self.workflow}" + ("/chat" if self.workflow.startswith("chat") else "")


STRUCTURED: Final = Script(pieces=('{"output": ', '{"content": "Ana", ', '"mood": "glad"}}'))
CASES: Final = (
    Case("at_once", "at-once"),
    Case("first_item", "first-item"),
    Case("first_item_agent", "first-item-agent"),
    Case("first_item_chain", "first-item-chain"),
    Case("first_item_openai", "first-item-openai"),
    Case("all_items", "all-items"),
    Case("respond_all_items", "respond-all-items"),
    Case("respond_json", "respond-json"),
    Case("text", "text"),
    Case("sse", "sse"),
    Case("sse_labelled", "sse-labelled"),
    Case("no_data", "no-data"),
    Case("respond_no_data", "respond-no-data"),
    Case("no_items", "no-items"),
    Case("never_responds", "never-responds"),
    Case("streaming", "streaming"),
    Case("streaming_twice", "streaming-twice", (SAYS, SAYS_MORE)),
    Case("streaming_tool", "streaming-tool", (calling("calculator", "Let me see. ", input="6*7"), SAYS)),
    Case("streaming_object", "streaming-object"),
    Case("streaming_items", "streaming-items"),
    Case("streaming_said_again", "streaming-said-again"),
    Case("streaming_text", "streaming-text"),
    Case("streaming_structured", "streaming-structured", (STRUCTURED,)),
    Case("streaming_structured_whole", "streaming-structured-whole", (STRUCTURED,)),
    Case("streaming_nothing", "streaming-nothing"),
    Case("streaming_fails_first", "streaming-fails-first"),
    Case("streaming_fails_after", "streaming-fails-after"),
    Case("streaming_model_fails", "streaming", (FAILS,)),
    Case("streaming_model_breaks", "streaming", (BREAKS,)),
    Case("streaming_goes_on", "streaming-goes-on", (FAILS,)),
    Case("streaming_breaks_and_goes_on", "streaming-goes-on", (BREAKS,)),
    Case("streaming_falls_back", "streaming-falls-back", (FAILS,)),
    Case("fails", "fails"),
    Case("fails_respond", "fails-respond"),
    Case("model_fails", "first-item-agent", (FAILS,)),
    Case("goes_on", "goes-on", (FAILS,)),
    Case("unknown", "no-such-webhook"),
    Case("wrong_method", "first-item", method="GET"),
    Case("guide", "guide", token=TOKEN),
    Case("right_token", "token", token=TOKEN),
    Case("wrong_token", "token", token="another"),
    Case("no_token", "token"),
    Case("chat", "chat"),
    Case("chat_streaming", "chat-streaming"),
    Case("chat_fields", "chat-fields"),
)


async def record(n8n: str) -> None:
    """Run n8n in a folder of its own, ask each workflow, and write what it replies."""
    with TemporaryDirectory(prefix="n8n-") as folder:
        async with OpenAIServer() as model:
            program = Program(n8n, Path(folder))
            version = await program.version()
            await program.take(credentials(model.base_url))
            async with program.running() as port:
                for case in CASES:
                    model.play(*case.scripts)
                    write(version, case, *await asked(port, case))


def credentials(base_url: str) -> list[dict[str, Any]]:
    """What the workflows sign in with: a model's address, and the token that the agent sends."""
    return [
        {
            "id": "parleyModel00001",
            "name": "The model's double",
            "type": "openAiApi",
            "data": {"apiKey": "none", "url": base_url},
        },
        {
            "id": "parleyToken00001",
            "name": "The agent's token",
            "type": "httpHeaderAuth",
            "data": {"name": "Authorization", "value": f"Bearer {TOKEN}"},
        },
    ]


class Program:
    """n8n, with its data in a folder."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._port, broker = free_port(), free_port()
        own = {"N8N_USER_FOLDER": str(folder), "N8N_PORT": str(self._port), "N8N_RUNNERS_BROKER_PORT": str(broker)}
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **SETTINGS, **own}

    async def version(self) -> str:
        """Return which n8n it is."""
        asked = await self._start("--version", stdout=PIPE)
        told, _ = await asked.communicate()
        return told.decode().split()[-1]

    async def take(self, secrets: list[dict[str, Any]]) -> None:
        """Import the credentials and the workflows, and publish each workflow."""
        file = self._folder / "credentials.json"
        file.write_text(json.dumps(secrets))
        await self._command("import:credentials", f"--input={file}")
        await self._command("import:workflow", f"--input={WORKFLOWS}")
        with closing(sqlite3.connect(self._folder / ".n8n" / "database.sqlite")) as data, data:
            data.execute(PUBLISH)

    async def _command(self, *arguments: str) -> None:
        done = await self._start(*arguments)
        if await done.wait():
            raise SystemExit(f"n8n {' '.join(arguments)} failed.")

    async def _start(self, *arguments: str, stdout: int | None = None) -> Process:
        return await asyncio.create_subprocess_exec(self._program, *arguments, env=self._environment, stdout=stdout)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[int]:
        """Run the server, and yield its port once it takes requests."""
        server = await self._start("start")
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await is_ready(self._port):  # noqa: ASYNC110 - n8n gives no other sign
                    await asyncio.sleep(1)
            yield self._port
        finally:
            server.terminate()
            await server.wait()


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def is_ready(port: int) -> bool:
    """Say whether n8n has its webhooks, which it takes up some time after it says that it is ready."""
    try:
        status, _, _ = await asked(port, Case("ready", "first-item"))
    except OSError:
        return False
    return status == 200


async def asked(port: int, case: Case) -> tuple[int, dict[str, str], list[bytes]]:
    """Ask a workflow as an agent does, and return the status, the headers and the pieces of what it replies."""
    payload = CHAT_PAYLOAD if case.path.endswith("/chat") else PAYLOAD
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if case.token:
        headers["Authorization"] = f"Bearer {case.token}"
    body = b"" if case.method == "GET" else json.dumps(payload, ensure_ascii=False).encode()
    return await exchange(port, case.method, case.path, headers, body)


async def exchange(
    port: int, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[str, str], list[bytes]]:
    """Make one HTTP request by hand: no client's library shows the borders between the pieces of a body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = {"Host": f"127.0.0.1:{port}", "Connection": "close", "Content-Length": str(len(body)), **headers}
        told = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{told}\r\n".encode() + body)
        status = int((await reader.readline()).split()[1])
        fields = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        replied = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields) if name}
        if replied.get("transfer-encoding") == "chunked":
            return status, replied, [piece async for piece in chunks(reader)]
        whole = await reader.read(-1)
        return status, replied, [whole] if whole else []
    finally:
        writer.close()


async def chunks(reader: StreamReader) -> AsyncGenerator[bytes]:
    """Yield the chunks of a body as its sender cut it."""
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readline()


def write(version: str, case: Case, status: int, headers: dict[str, str], pieces: list[bytes]) -> None:
    """Write what was replied to a file of its own."""
    told = {
        "n8n": version,
        "workflow": case.workflow,
        "status": status,
        "content_type": headers.get("content-type"),
        "transfer_encoding": headers.get("transfer-encoding"),
        "chunks": [piece.decode() for piece in pieces],
    }
    (HERE / "replies" / f"{case.name}.json").write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1]))
