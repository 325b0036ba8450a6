"""A scripted OpenAI-compatible server, held faithful by the official client in `tests/providers/test_doubles.py`."""

import base64
import hashlib
import json
import struct
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from tests.doubles.upstream import Script, Upstream

DIMENSIONS: Final = 8


class OpenAIServer(Upstream):
    """Chat completions by script, a list of models, and embeddings of `DIMENSIONS` that depend on the text alone.

    Attributes:
        models: what `/models` lists.
    """

    def __init__(self) -> None:
        super().__init__()
        self.models = ["double-1"]

    @property
    def base_url(self) -> str:
        """What a client is configured with."""
        return self.url + "/v1"

    def routes(self) -> Sequence[web.RouteDef]:
        """The paths of OpenAI's API."""
        return [
            web.post("/v1/chat/completions", self._complete),
            web.get("/v1/models", self._list_models),
            web.post("/v1/embeddings", self._embed),
        ]

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        call, script = await self.receive(request)
        if (response := self.outright(script)) is not None:
            return response
        if script.rejects in call.body:
            words = {"message": f"Unsupported parameter: '{script.rejects}'", "type": "invalid_request_error"}
            return web.json_response({"error": words}, status=400)
        model = call.body["model"]
        if not (call.body.get("stream") and script.streams):
            return web.json_response(_whole(script, model))
        wants_usage = call.body.get("stream_options", {}).get("include_usage", False)
        return await self.stream(
            request, call, script, _pieces(script, model), _closing(script, model, wants_usage), _frame(script.error)
        )

    async def _list_models(self, request: web.Request) -> web.Response:
        models = [{"id": model, "object": "model", "created": 0, "owned_by": "double"} for model in self.models]
        return web.json_response({"object": "list", "data": models})

    async def _embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        texts: list[str] = [body["input"]] if isinstance(body["input"], str) else body["input"]
        encode = _base64 if body.get("encoding_format") == "base64" else list[float]
        data = [
            {"object": "embedding", "index": index, "embedding": encode(embedding(text))}
            for index, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return web.json_response({"object": "list", "model": body["model"], "data": data, "usage": usage})


def embedding(text: str) -> list[float]:
    """Return the vector that the double gives a text."""
    return [(byte - 128) / 128 for byte in hashlib.sha256(text.encode()).digest()[:DIMENSIONS]]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _frame(value: object) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _chunk(model: str, choices: list[dict[str, Any]], **more: object) -> str:
    value = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": choices}
    return _frame(value | more)


def _delta(model: str, finish_reason: str | None = None, **delta: str) -> str:
    return _chunk(model, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}])


def _pieces(script: Script, model: str) -> list[str]:
    """The frames of the pieces; the first also tells the role, as OpenAI does in a frame before it."""
    frames = [
        *(_delta(model, reasoning_content=piece) for piece in script.reasoning),
        *(_delta(model, content=piece) for piece in script.pieces),
    ]
    role = _delta(model, role="assistant", content="")
    return [role + frames[0], *frames[1:]] if frames else []


def _closing(script: Script, model: str, wants_usage: bool) -> list[str]:
    frames = [_delta(model, finish_reason=script.finish_reason)] if script.finish_reason else []
    if wants_usage and script.usage:
        frames.append(_chunk(model, [], usage=_usage(script.usage)))
    return [*frames, "data: [DONE]\n\n"] if script.done else frames


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}


def _whole(script: Script, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": script.text, "reasoning_content": "".join(script.reasoning) or None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": script.finish_reason}
    value = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}
    return value | ({"usage": _usage(script.usage)} if script.usage else {})
