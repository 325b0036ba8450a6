"""A scripted Gemini API: `streamGenerateContent?alt=sse`, as Google's own client asks for it."""

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tests.doubles.upstream import Script, Upstream

GEMINI = Script(finish_reason="STOP", error={"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}})
"""A Gemini model that works, and Gemini's way to fail."""

BLOCKED = GEMINI.but(raw=b'data: {"promptFeedback": {"blockReason": "SAFETY"}}\r\n\r\n')
"""A prompt that Gemini refuses to answer."""


def failing(status: int, message: str, name: str, *details: dict[str, Any], **more: Any) -> Script:
    """Return the script of an error in the shape of Google's APIs: its `name` is such as `INVALID_ARGUMENT`."""
    error = {"code": status, "message": message, "status": name, "details": details}
    return GEMINI.but(status=status, error={"error": error}, **more)


class GeminiServer(Upstream):
    """Answers any model by script. `finish_reason` is in Gemini's words."""

    def __init__(self) -> None:
        super().__init__()
        self.play(GEMINI)

    def routes(self) -> Sequence[web.RouteDef]:
        """The one path that a streamed answer needs, of Google's models and of those that are somebody's own."""
        return [web.post("/{version}/{kind:models|tunedModels}/{model}:streamGenerateContent", self._generate)]

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        if request.query.getall("alt", []) != ["sse"]:
            return web.Response(status=400, text="It would be a JSON array.")
        call, script = await self.receive(request)
        if (response := self.outright(script)) is not None:
            return response
        pieces = [
            *(_frame(script, {"text": piece, "thought": True}) for piece in script.reasoning),
            *(_frame(script, {"text": piece}) for piece in script.pieces),
        ]
        closing = [_frame(script, {"text": ""}, script.finish_reason)] if script.finish_reason else []
        return await self.stream(request, call, script, pieces, closing, f"data: {json.dumps(script.error)}\n\n")


def _frame(script: Script, part: dict[str, Any], finish_reason: str | None = None) -> str:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [part]}, "index": 0}
    if finish_reason:
        candidate["finishReason"] = finish_reason
    response: dict[str, Any] = {"candidates": [candidate], "modelVersion": "double", "responseId": "r1"}
    if script.usage:
        read, written = script.usage
        response["usageMetadata"] = {"promptTokenCount": read, "totalTokenCount": read}
        if finish_reason:
            response["usageMetadata"] |= {"candidatesTokenCount": written, "totalTokenCount": read + written}
    return f"data: {json.dumps(response)}\n\n"
