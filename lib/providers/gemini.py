"""Gemini, through Google's own client.

Left to itself the client retries a lost connection after up to ten seconds, follows redirects, opens a pool of its own,
and leaves the connection open when its stream is closed early. So it is made for one call, told one attempt and no
redirects, and given our HTTP session with a middleware that keeps hold of the response.
"""

import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

from lib.errors import ProviderError
from lib.http import http_session
from lib.providers.base import DEFAULTS, Chunk, Options, PromptMessage, Reasoning, Text, TokenUsage
from lib.providers.faults import CUT_SHORT, FILTERED, VendorFault, faults_as_ours

if TYPE_CHECKING:
    from google.genai import Client, errors, types

WHOLE: Final = {"STOP", "MAX_TOKENS"}
FILTERS: Final = {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"}
"""Reasons to finish: those that leave an answer, and those that took it away. Every other one is a failure."""

_RETRY_DELAY = re.compile(r'"retryDelay":\s*"([0-9.]+)s"')


class GeminiProvider:
    """A Gemini model.

    Args:
        api_key: the key of the Gemini API.
        model: as Google names it.
        base_url: another server than Google's, without its version.
    """

    def __init__(self, api_key: str, model: str, base_url: str | None = None) -> None:
        self._api_key = api_key
        self._model = model
        self._base_url = base_url

    @property
    def model(self) -> str:
        """The model's name as Google knows it."""
        return self._model

    async def stream(self, messages: tuple[PromptMessage, ...], options: Options = DEFAULTS) -> AsyncGenerator[Chunk]:
        """Ask for an answer, as `Provider.stream` promises. The client has no limit for connecting alone."""
        from google.genai import errors

        ended, usage = False, None
        opened: list[aiohttp.ClientResponse] = []
        with faults_as_ours(self._model, (self._api_key, *(message.content for message in messages))):
            try:
                async for response in await self._ask(messages, options, opened):
                    for chunk in _chunks(response):
                        yield chunk
                    ended = ended or _has_ended(response)
                    usage = response.usage_metadata or usage
            except errors.APIError as error:
                raise _fault(error) from None
            except (ValueError, TypeError, AttributeError) as error:  # no JSON or no answer; its text may hold anything
                raise VendorFault(0, type(error).__name__) from None
            finally:
                for answer in opened:
                    answer.close()
            if not ended:
                raise ProviderError(CUT_SHORT)
            if usage is not None:
                yield _token_usage(usage)

    async def _ask(
        self, messages: tuple[PromptMessage, ...], options: Options, opened: list[aiohttp.ClientResponse]
    ) -> "AsyncIterator[types.GenerateContentResponse]":
        from google.genai import types

        config = types.GenerateContentConfig(
            system_instruction="\n\n".join(message.content for message in messages if message.role == "system") or None,
            temperature=options.temperature,
            top_p=options.top_p,
            max_output_tokens=options.max_tokens,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            seed=options.seed,
            stop_sequences=None if options.stop is None else list(options.stop),
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        models = self._client(opened).aio.models
        return await models.generate_content_stream(  # pyright: ignore[reportUnknownMemberType] # PIL is not installed
            model=self._model, contents=list(_contents(messages)), config=config
        )

    def _client(self, opened: list[aiohttp.ClientResponse]) -> "Client":
        """Return a client for one call, which puts what it opens into `opened`."""
        from google.genai import Client, types

        async def keep(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            response = await handler(request)
            opened.append(response)
            return response

        options = types.HttpOptions(
            base_url=self._base_url,
            aiohttp_client=http_session(),
            async_client_args={"ssl": True, "allow_redirects": False, "middlewares": (keep,)},
            # For its synchronous half, which is never used: without a context it would read all certificates each time.
            client_args={"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
            retry_options=types.HttpRetryOptions(attempts=1),
        )
        return Client(api_key=self._api_key, vertexai=False, http_options=options)


def _contents(messages: tuple[PromptMessage, ...]) -> "Iterator[types.Content]":
    """Yield the turns of the conversation: neighbours of one role are one turn with several parts."""
    from google.genai import types

    spoken = (message for message in messages if message.role != "system")
    for role, turn in groupby(spoken, lambda message: message.role):
        yield types.Content(
            role="model" if role == "assistant" else "user", parts=[types.Part(text=said.content) for said in turn]
        )


def _chunks(response: "types.GenerateContentResponse") -> Iterator[Text | Reasoning]:
    if response.prompt_feedback and response.prompt_feedback.block_reason:
        raise ProviderError(FILTERED)
    content = response.candidates[0].content if response.candidates else None
    for part in (content and content.parts) or ():
        if part.text:
            yield Reasoning(part.text) if part.thought else Text(part.text)


def _has_ended(response: "types.GenerateContentResponse") -> bool:
    """Tell whether this is the last part of a whole answer, or raise what kept it from being whole."""
    reason = response.candidates[0].finish_reason if response.candidates else None
    if reason is None or reason.value in WHOLE:
        return reason is not None
    if reason.value in FILTERS:
        raise ProviderError(FILTERED)
    raise VendorFault(0, reason.value)


def _token_usage(usage: "types.GenerateContentResponseUsageMetadata") -> TokenUsage:
    """Thoughts count as output, as everywhere."""
    written = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return TokenUsage(usage.prompt_token_count or 0, written)


def _fault(error: "errors.APIError") -> VendorFault:
    body = msgspec.json.encode(error.details)  # pyright: ignore[reportUnknownMemberType] # has no type of its own
    delay = _RETRY_DELAY.search(body.decode())
    return VendorFault.read(body, status=error.code, retry_after=delay and delay[1])
