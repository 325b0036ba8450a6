"""Streams as their readers receive them, byte for byte, and the files in which they are written down."""

import asyncio
import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import httpx

from tests.fixtures.people import Asker
from tests.golden.upstream import Answer, Kind, Reader

STREAMS: Final = Path(__file__).parent / "streams"
ASKED: Final = "Do bees dance?"
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

_IDS: Final = {"conversation": "x-conversation-id", "message": "x-message-id", "request": "x-request-id"}
"""What is called by new ids each time, and the headers that tell them."""
_TIMES: Final = re.compile(rb'"(at|timestamp)":"[^"]*"')


@dataclass(frozen=True)
class Question:
    """A way to ask, or to have an answer again: a request's parts."""

    method: str
    path: str
    more: dict[str, Any]

    def but(self, **more: Any) -> "Question":
        """Return the same with more parts, such as headers."""
        return Question(self.method, self.path, self.more | more)


def question(conversation: str, dialect: Dialect) -> Question:
    """Return the question in a conversation whose answer comes in a dialect."""
    if dialect == "book":
        body: dict[str, Any] = {"message": {"content": ASKED}, "conversation_id": conversation}
        return Question("POST", "/api/v1/chat/stream", {"json": body})
    prefix = "/conversations" if dialect == "native" else "/api/chats"
    return Question("POST", f"{prefix}/{conversation}/messages", {"json": {"content": ASKED}})


async def opened(asker: Asker, **fields: Any) -> str:
    """Open a conversation and return its id."""
    made = await asker.ask("POST", "/api/chats", json=fields)
    assert made.status_code == 201, made.text
    return made.json()["id"]


class Stream:
    """A response that is being read.

    Attributes:
        reader: what has arrived of it.
        status: of the response.
        headers: of the response, as they came.
    """

    def __init__(self, asker: Asker, asked: Question, reader: Reader | None = None) -> None:
        """Take who asks what, and who is told of each piece that arrives."""
        self.reader = reader or Reader({})
        self.status = 0
        self.headers = httpx.Headers()
        self._asker = asker
        self._asked = asked
        self._begun = asyncio.Event()

    async def read(self) -> Self:
        """Ask, and read the answer to its end."""
        method, path, more = self._asked.method, self._asked.path, dict(self._asked.more)
        headers = self._asker.headers | more.pop("headers", {})
        async with (
            httpx.AsyncClient(base_url=self._asker.url, headers=headers, timeout=30, verify=_NO_TLS) as client,
            client.stream(method, path, **more) as response,
        ):
            self.status, self.headers = response.status_code, response.headers
            self._begun.set()
            async for data in response.aiter_bytes():
                await self.reader.receive(data)
        return self

    @property
    def told(self) -> bytes:
        """The status and the body as far as it has arrived, but for ids and times, which are new each time."""
        return b"%d\n%b" % (self.status, self._without_ids(bytes(self.reader.received)))

    @property
    def head(self) -> bytes:
        """The headers, likewise."""
        lines = (f"{name}: {'<time>' if name == 'date' else value}\n" for name, value in self.headers.items())
        return self._without_ids("".join(lines).encode())

    async def answer_path(self) -> str:
        """Return the path of the answer, once the headers name it."""
        await self._begun.wait()
        return "/conversations/{x-conversation-id}/messages/{x-message-id}".format_map(self.headers)

    async def taken_up(self, dialect: Literal["native", "team"], after: str = "") -> Question:
        """Return how to have the same answer again, behind an event or from its start."""
        headers = {"Last-Event-ID": after} if after else {}
        path = f"{await self.answer_path()}/stream"
        return Question("GET", path, {"params": {"protocol": dialect}, "headers": headers})

    def _without_ids(self, told: bytes) -> bytes:
        for name, header in _IDS.items():
            if made := self.headers.get(header):
                told = told.replace(made.encode(), b"<%b>" % name.encode())
        return _TIMES.sub(rb'"\1":"<time>"', told)


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
            self._path.write_bytes(
                b"".join(b"=== %b ===\n%b\n" % (name.encode(), told) for name, told in sections.items())
            )
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


def _sections(held: bytes) -> dict[str, bytes]:
    _, *parts = re.split(rb"^=== (.*) ===\n", held, flags=re.MULTILINE)
    return {name.decode(): told.removesuffix(b"\n") for name, told in zip(parts[::2], parts[1::2], strict=True)}
