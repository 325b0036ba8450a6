"""A fast upstream on loopback: embeddings, a vector store and a model that answer at once, always the same.

It speaks as little HTTP as its callers need, over bare asyncio, so that it costs the machine next to nothing.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from lib.ids import DEFAULT_TEAM_ID

DIMENSIONS: Final = 384
PASSAGES: Final = 5


def _json(body: Any) -> bytes:
    content = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(content),
        content,
    )


def _frame(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: %s\n\n" % json.dumps({"id": "1", "object": "chat.completion.chunk", "choices": [choice]}).encode()


def _passage(index: int) -> dict[str, Any]:
    text = "Parley keeps every turn, and says so when it cannot. " * 10
    payload = {"team_id": str(DEFAULT_TEAM_ID), "text": text, "title": "The book", "headings": ["Chapter"]}
    place = {"uri": "book.md", "document_id": "book", "start": 0, "end": len(text)}
    return {"id": index, "version": 1, "score": 1 / (index + 1), "payload": payload | place}


_ANSWER = b"".join(_frame({"content": f" word{index}"}) for index in range(20))
_STREAM = _frame({"role": "assistant", "content": ""}) + _ANSWER + _frame({}, "stop") + b"data: [DONE]\n\n"
_REPLIES: Final = {
    b"/embeddings": _json({"object": "list", "data": [{"index": 0, "embedding": [0.05] * DIMENSIONS}]}),
    b"/points/query": _json({"result": {"points": [_passage(index) for index in range(PASSAGES)]}, "status": "ok"}),
    b"/chat/completions": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_STREAM), _STREAM),
}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            await reader.readexactly(int(fields.get(b"content-length", b"0")))
            path = head.split(b" ", 2)[1]
            writer.write(next(reply for end, reply in _REPLIES.items() if path.endswith(end)))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the caller is done
    finally:
        writer.close()


@asynccontextmanager
async def upstream() -> AsyncGenerator[str]:
    """Serve in this event loop and yield the URL."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
