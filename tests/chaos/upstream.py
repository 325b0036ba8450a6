"""A model that says of each answer whose it is: to which question, by which call. No two of its answers are alike."""

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from aiohttp import web

from tests.doubles.openai_server import embedding

_ASKED: Final = re.compile(r"\((\d+\.\d+)\) (\d+) words, (\d+) ms")
_SAID: Final = re.compile(r"call (\d+) for (\d+\.\d+):")
_SENT: Final = {"Content-Type": "text/event-stream"}


def wording(marker: str, words: int, pace: int) -> str:
    """Return a question of which this model knows the marker, and how it is to answer."""
    return f"({marker}) {words} words, {pace} ms: do bees dance?"


def pieces(marker: str, call: int, words: int) -> list[str]:
    """Return the answer of a call, piece by piece."""
    return [f"call {call} for {marker}:", *(f" w{word}" for word in range(1, words + 1)), " end."]


def named_in(answer: str) -> tuple[str, int] | None:
    """Return the marker and the call that an answer names; None of one that is too short for it."""
    found = _SAID.match(answer)
    return (found[2], int(found[1])) if found else None


@dataclass(slots=True)
class Call:
    """A call that arrived. `port` is that of the connection that it came by."""

    marker: str
    number: int
    words: int
    port: int
    state: Literal["begun", "completed", "gone"] = "begun"

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(pieces(self.marker, self.number, self.words))


class Model:
    """An OpenAI-compatible server on loopback; it embeds texts as well.

    A call counts as completed when its last frame is handed to the connection.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._complete),
                web.post("/v1/embeddings", self._embed),
                web.get("/v1/models", self._list),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        return "http://{}:{}".format(*self._runner.addresses[0][:2])

    def calls_of(self, seed: int) -> list[Call]:
        """Return the calls for a seed's questions."""
        return [call for call in self.calls if call.marker.startswith(f"{seed}.")]

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "model", "object": "model", "owned_by": "chaos"}]})

    async def _embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        rows = [{"index": index, "embedding": embedding(text)} for index, text in enumerate(texts)]
        return web.json_response({"object": "list", "data": rows, "model": body["model"], "usage": {}})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        found = _ASKED.findall(body["messages"][-1]["content"])
        if not found:
            return web.json_response({"error": {"message": "no marker"}}, status=400)
        marker, words, pace = found[-1]
        port = request.transport.get_extra_info("peername")[1] if request.transport else 0
        number = 1 + sum(call.marker == marker for call in self.calls)
        call = Call(marker, number, int(words), port)
        self.calls.append(call)
        response = web.StreamResponse(headers=_SENT)
        try:
            with suppress(ConnectionError):  # whoever asked is gone
                await response.prepare(request)
                await self._answer(response, call, int(pace) / 1000)
        finally:
            if call.state == "begun":
                call.state = "gone"
        return response

    async def _answer(self, response: web.StreamResponse, call: Call, pace: float) -> None:
        for piece in pieces(call.marker, call.number, call.words):
            await asyncio.sleep(pace)
            await response.write(_frame([{"index": 0, "delta": {"content": piece}, "finish_reason": None}]))
        end = _frame([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        usage = _frame([], usage={"prompt_tokens": 7, "completion_tokens": call.words, "total_tokens": 7 + call.words})
        call.state = "completed"
        await response.write(end + usage + b"data: [DONE]\n\n")


def _frame(choices: list[Any], **more: object) -> bytes:
    value = {"id": "chaos", "object": "chat.completion.chunk", "created": 0, "model": "model", "choices": choices}
    return b"data: %b\n\n" % json.dumps(value | more).encode()
