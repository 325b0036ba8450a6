"""Lists of models as OpenAI and Gemini give them, held faithful by their own clients in `tests/health`."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from tests.doubles.upstream import Upstream

KEY: Final = "key-of-the-models-0123456789"


class ModelsServer(Upstream):
    """Lists one model to whoever has the key. Both vendors have the same path; Google's clients bring its own header.

    Attributes:
        asked: how often it was asked.
        status: what it answers with, unless that is 200.
        body: what it answers with in place of a list, when it is set.
        silent: whether it waits for `resume`.
        was_asked: set by the first question.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None
        self.silent = False
        self.was_asked = asyncio.Event()

    @property
    def openai_url(self) -> str:
        """What a client of OpenAI's is configured with."""
        return f"{self.url}/v1"

    def routes(self) -> Sequence[web.RouteDef]:
        """The one path."""
        return [web.get("/v1/models", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        return await (self._gemini if "x-goog-api-key" in request.headers else self._openai)(request)

    async def _openai(self, request: web.Request) -> web.Response:
        model = {"id": "double-1", "object": "model", "created": 0, "owned_by": "double"}
        known = request.headers.get("Authorization") == f"Bearer {KEY}"
        return await self._answer({"object": "list", "data": [model]}, refusal=None if known else 401)

    async def _gemini(self, request: web.Request) -> web.Response:
        model = {"name": "models/double-1", "version": "1", "displayName": "Double"}
        known = request.headers.get("x-goog-api-key") == KEY
        return await self._answer({"models": [model]}, refusal=None if known else 400)

    async def _answer(self, listed: object, *, refusal: int | None) -> web.Response:
        self.asked += 1
        self.was_asked.set()
        if self.silent:
            await self._resumed.wait()
        if refusal or self.status != 200:
            words = {"error": {"message": "API key not valid", "code": refusal or self.status}}
            return web.json_response(words, status=refusal or self.status)
        return web.Response(body=self.body) if self.body is not None else web.json_response(listed)
