"""Gemini, spoken to over the shared HTTP session.

Google's own client is not on this path: its import costs two seconds of a first answer, and its models per chunk more
than the rest of the turn (`docs/decisions/hot-path-clients.md`). Tests hold this module to what the client asks of the
same server and reads from it.
"""

from collections.abc import AsyncGenerator
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec

from lib.http import send
from lib.providers.arrivals import Arrivals
from lib.providers.base import DEFAULTS, Chunk, Options, PromptMessage
from lib.providers.bodies import beginning
from lib.providers.faults import VendorFault, faults_as_ours
from lib.providers.gemini_answer import GeminiReader, fault
from lib.providers.models import GEMINI_VERSION
from lib.settings import GEMINI_URL

CONNECT_SECONDS: Final = 5.0

_COLLECTIONS: Final = ("models/", "tunedModels/")
_WISHES: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "max_tokens": "maxOutputTokens",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "seed": "seed",
    "stop": "stopSequences",
}


class GeminiProvider:
    """A Gemini model.

    Args:
        api_key: the key of the Gemini API.
        model: as Google names it.
        base_url: Google's server or another, without its version.
    """

    def __init__(self, api_key: str, model: str, base_url: str = GEMINI_URL) -> None:
        self._api_key = api_key.strip()
        self._model = model
        self._base_url = base_url.rstrip("/")

    @property
    def model(self) -> str:
        """The model's name as Google knows it."""
        return self._model

    async def stream(self, messages: tuple[PromptMessage, ...], options: Options = DEFAULTS) -> AsyncGenerator[Chunk]:
        """Ask for an answer, as `Provider.stream` promises. Texts that arrive together are yielded as one.

        An answer that is longer than Gemini gives at once comes in several, each asked for by the token that ends the
        one before.
        """
        question, reader, began = _question(messages, options), GeminiReader(), False
        with faults_as_ours(self._model, (self._api_key, *(message.content for message in messages))):
            while not reader.ended or reader.continuation:
                response = await self._ask(question)
                reader.begin(streamed=response.content_type != "application/json")
                arrivals = Arrivals(response)
                try:
                    while data := await arrivals.read(at_once=not began or reader.ended):
                        for chunk in reader.feed(data):
                            yield chunk
                            began = True
                    for chunk in reader.close():
                        yield chunk
                finally:
                    response.close()  # a connection that still carries an answer is cut, which stops the model
                question["continuationToken"] = reader.continuation
            if reader.usage is not None:
                yield reader.usage

    async def _ask(self, question: dict[str, Any]) -> aiohttp.ClientResponse:
        """Return an answer that has begun, or raise the `VendorFault` that came instead."""
        response = await send(
            "POST",
            f"{self._base_url}/{GEMINI_VERSION}/{_path(self._model)}:streamGenerateContent?alt=sse",
            data=msgspec.json.encode(question),
            headers={
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
                "x-goog-api-key": self._api_key,
            },
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
        )
        if response.status == 200:
            return response
        body = await beginning(response)
        raise fault(body, status=response.status, retry_after=response.headers.get("Retry-After"))


def _path(model: str) -> str:
    """Return where a model is. Its name leads nowhere else.

    Raises:
        VendorFault: it is no name of a model.
    """
    if ".." in model:
        raise VendorFault(404, "no name of a model")
    return quote(model if model.startswith(_COLLECTIONS) else f"models/{model}")


def _question(messages: tuple[PromptMessage, ...], options: Options) -> dict[str, Any]:
    """Return the body that asks for an answer."""
    question: dict[str, Any] = {
        "contents": _contents(messages),
        "generationConfig": {
            name: value for field, name in _WISHES.items() if (value := getattr(options, field)) is not None
        },
    }
    if instructions := "\n\n".join(message.content for message in messages if message.role == "system"):
        question["systemInstruction"] = {"parts": [{"text": instructions}], "role": "user"}
    return question


def _contents(messages: tuple[PromptMessage, ...]) -> list[dict[str, Any]]:
    """Return the turns of the conversation: neighbours of one role are one turn with several parts."""
    spoken = (message for message in messages if message.role != "system")
    return [
        {"role": "model" if role == "assistant" else "user", "parts": [{"text": said.content} for said in turn]}
        for role, turn in groupby(spoken, lambda message: message.role)
    ]
