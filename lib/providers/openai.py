"""Any OpenAI-compatible endpoint, spoken to over the shared HTTP session.

The openai SDK is not on this path: its import and its models per chunk cost more than the rest of the turn
(`docs/decisions/hot-path-clients.md`). Tests hold this module to what the SDK reads from the same server.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import aiohttp
import msgspec

from lib.errors import ProviderError
from lib.http import Send, send
from lib.providers.arrivals import Arrivals
from lib.providers.base import DEFAULTS, Chunk, Options, PromptMessage
from lib.providers.bodies import beginning
from lib.providers.completion import CompletionReader
from lib.providers.faults import VendorFault, faults_as_ours
from lib.providers.question import Dialect

CONNECT_SECONDS: Final = 5.0
MODELS_SECONDS: Final = 10.0
FAREWELL_SECONDS: Final = 1.0

UNNAMED: Final = "(not named)"
"""In the log, a model that the endpoint chooses. Its URL may hold a password."""


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class OpenAIProvider:
    """A model behind an OpenAI-compatible endpoint.

    Args:
        base_url: the endpoint, up to and with its version: `https://api.openai.com/v1`.
        api_key: sent as a bearer token, when there is one.
        model: as the endpoint names it; without one, the first that its `/models` lists is asked for, once.
        send: the guarded transport's, for an endpoint that a team named.
    """

    def __init__(self, base_url: str, api_key: str | None, model: str | None, *, send: Send = send) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._model = model
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._dialect = Dialect.of(base_url)
        self._send = send

    @property
    def model(self) -> str:
        """The model's name; empty until an endpoint for which none was named has been asked for the first time."""
        return self._model or ""

    async def stream(self, messages: tuple[PromptMessage, ...], options: Options = DEFAULTS) -> AsyncGenerator[Chunk]:
        """Ask for a completion, as `Provider.stream` promises. Texts that arrive together are yielded as one."""
        sent = (self._api_key or "", *(message.content for message in messages))
        with faults_as_ours(self._model or UNNAMED, sent):
            response = await self._ask(messages, options)
            try:
                reader = CompletionReader(streamed=response.content_type != "application/json")
                arrivals, began = Arrivals(response), False
                farewell: float | None = None
                while data := await _read(arrivals, farewell, at_once=not began or reader.ended):
                    for chunk in reader.feed(data):
                        yield chunk
                        began = True
                    if reader.ended and farewell is None:
                        farewell = asyncio.get_running_loop().time() + FAREWELL_SECONDS
                for chunk in reader.close():
                    yield chunk
            finally:
                response.close()  # a connection that still carries an answer is cut, which stops the model
            if reader.usage is not None:
                yield reader.usage

    async def _ask(self, messages: tuple[PromptMessage, ...], options: Options) -> aiohttp.ClientResponse:
        """Return an answer that has begun, or raise the `VendorFault` that came instead."""
        if self._model is None:
            self._model = await self._first_model()
        while True:
            question = self._dialect.question(self._model, messages, options)
            response = await self._request("POST", "/chat/completions", question)
            if response.status == 200:
                return response
            body = await beginning(response)
            if response.status not in {400, 422} or not self._dialect.learns(question, body):
                raise VendorFault.read(body, status=response.status, retry_after=response.headers.get("Retry-After"))

    async def _first_model(self) -> str:
        async with asyncio.timeout(MODELS_SECONDS):
            response = await self._request("GET", "/models")
            body = await beginning(response)
        if response.status != 200:
            raise VendorFault.read(body, status=response.status)
        models = msgspec.json.decode(body, type=_Models).data
        if not models:
            raise ProviderError("The model's endpoint has no model.")
        return models[0].id

    async def _request(self, method: str, path: str, body: dict[str, object] | None = None) -> aiohttp.ClientResponse:
        return await self._send(
            method,
            self._base_url + path,
            data=None if body is None else msgspec.json.encode(body),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
        )


async def _read(arrivals: Arrivals, farewell: float | None, *, at_once: bool) -> bytes:
    """Wait for the next bytes; none at the end, be it the body's or the connection's.

    After the vendor's own sign of the end there may be the usage, and the end of the body, which lets the connection be
    used again. They are waited for until `farewell`, and missing them is no fault.
    """
    try:
        if farewell is None:
            return await arrivals.read(at_once=at_once)
        async with asyncio.timeout_at(farewell):
            return await arrivals.read(at_once=at_once)
    except (TimeoutError, aiohttp.ClientError):
        return b""
