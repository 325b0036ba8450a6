"""Streams as their readers receive them, byte for byte, and the files in which they are written down."""

import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import httpx

from tests.fixtures.people import Asker
from tests.fixtures.web import question
from tests.golden.upstream import Answer, Kind, Reader

STREAMS: Final = Path(__file__).parent / "streams"
REWRITE: Final = "GOLDEN"
"""The variable that has the files written anew when it is `write`."""

_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Made once: by default each client reads the certificates of all authorities, for a server on loopback."""

Dialect = Literal["native", "book", "team"]
DIALECTS: Final[tuple[Dialect, ...]] = ("native", "book", "team")
MARKS: Final[Mapping[Dialect, Mapping[Kind, bytes]]] = {
    "native": {"text": b"event: text\n", "reasoning": b"event: reasoning\n"},
    "book": {"text": b'"status":"partial"'},
    "team": {"text": b'{"type":"message"'},
}
"""How a frame of a dialect is known to show something; within a text a quotation mark or a line's end is escaped."""

_TIMES: Final = re.compile(rb'"(at|timestamp)":"[^"]*"')


@dataclass
class Stream:
    """A stream that is being read.

    Attributes:
        reader: what has arrived of it.
        status: of the response.
        headers: of the response.
    """

    reader: Reader
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def bytes(self) -> bytes:
        """What has arrived, but for ids and times, which are new each time."""
        told = bytes(self.reader.received)
        for name in ("conversation", "message"):
            if made := self.headers.get(f"x-{name}-id"):
                told = told.replace(made.encode(), b"<%b>" % name.encode())
        return _TIMES.sub(rb'"\1":"<time>"', told)

    async def read(self, asker: Asker, method: str, path: str, **more: Any) -> "Stream":
        """Ask, and read the answer to its end."""
        headers = asker.headers | more.pop("headers", {})
        async with (
            httpx.AsyncClient(base_url=asker.url, headers=headers, timeout=30, verify=_NO_TLS) as client,
            client.stream(method, path, **more) as response,
        ):
            self.status, self.headers = response.status_code, dict(response.headers)
            async for data in response.aiter_bytes():
                await self.reader.receive(data)
        return self


async def ask(asker: Asker, conversation: str, dialect: Dialect, reader: Reader) -> Stream:
    """Ask in a conversation, and read the answer in a dialect."""
    if dialect == "book":
        body = question("Do bees dance?", conversation_id=conversation)
        return await Stream(reader).read(asker, "POST", "/api/v1/chat/stream", json=body)
    path = f"/conversations/{conversation}/messages" if dialect == "native" else f"/api/chats/{conversation}/messages"
    return await Stream(reader).read(asker, "POST", path, json={"content": "Do bees dance?"})


async def take_up(asker: Asker, stream: Stream, dialect: Literal["native", "team"], after: str | None = None) -> Stream:
    """Take a stream up again, behind an event or from its start, and read the rest."""
    path = "/conversations/{x-conversation-id}/messages/{x-message-id}/stream".format_map(stream.headers)
    told = {"Last-Event-ID": after} if after else {}
    return await Stream(Reader(MARKS[dialect])).read(asker, "GET", path, params={"protocol": dialect}, headers=told)


def spelled(answer: Answer) -> bytes:
    """Return what an upstream answers as a section of a file: a line each read, in Python's spelling."""
    head = {"status": answer.status, "content_type": answer.content_type, **answer.headers, "end": answer.end}
    lines = [" ".join(f"{name}={value!r}" for name, value in head.items()), *(repr(read.data) for read in answer.reads)]
    return "".join(f"{line}\n" for line in lines).encode()


class Golden:
    """A file in which streams are written down, a section each."""

    def __init__(self, *place: str) -> None:
        """Take the file's folder and its name."""
        self._path = STREAMS.joinpath(*(re.sub(r"[^\w]+", "_", part) for part in place)).with_suffix(".txt")

    def holds(self, sections: Mapping[str, bytes]) -> None:
        """Assert that the file holds these bytes and no others, or write them where that is asked for."""
        if os.environ.get(REWRITE) == "write":
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(b"".join(_title(name) + told for name, told in sections.items()))
        kept = _sections(self._path.read_bytes())
        assert list(sections) == list(kept)
        for name, told in sections.items():
            assert meaning(told) == meaning(kept[name]), f"{name} of {self._path} says something else"
            assert told.decode() == kept[name].decode(), f"{name} of {self._path} is spelled or cut otherwise"


def meaning(told: bytes) -> list[tuple[str, str, object]]:
    """Return what a stream's frames tell, neighbouring texts as one: kinds, the ids behind them, and data."""
    frames: list[tuple[str, str, object]] = []
    for frame in told.decode().split("\n\n"):
        kind, number, data = _read(frame)
        if kind in {"text", "reasoning"} and frames and frames[-1][0] == kind:
            data = f"{frames.pop()[2]}{data}"
        frames.append((kind, number, data))
    return frames


def _read(frame: str) -> tuple[str, str, object]:
    fields = {name: value for line in frame.split("\n") for name, _, value in (line.partition(": "),)}
    kind, number = fields.get("event", ""), fields.get("id", "")
    try:
        data: Any = json.loads(fields.get("data", ""))
    except ValueError:
        return "", number, frame
    match kind, data:
        case "text" | "reasoning", {"text": str() as text}:
            return kind, number, text
        case "", {"status": "partial", "content": str() as text}:
            return "text", number, text
        case "", {"type": "message", "data": {"content": str() as text}}:
            return "text", number, text
        case _:
            return kind, number, data


def _title(name: str) -> bytes:
    return f"=== {name} ===\n".encode()


def _sections(held: bytes) -> dict[str, bytes]:
    _, *parts = re.split(rb"^=== (.*) ===\n", held, flags=re.MULTILINE)
    return {name.decode(): told for name, told in zip(parts[::2], parts[1::2], strict=True)}
