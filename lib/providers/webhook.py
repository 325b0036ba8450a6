"""A webhook that answers, such as an n8n workflow."""

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from datetime import UTC
from typing import Any, Final

import aiohttp
import msgspec

from lib.errors import WebhookFailed, WebhookRefused
from lib.http import Send
from lib.providers.arrivals import Arrivals
from lib.providers.base import DEFAULTS, Chunk, Options, PromptMessage, Text
from lib.providers.faults import HIDDEN, VendorFault, faults_as_ours
from lib.providers.webhook_reply import WebhookReply, is_page
from lib.providers.webhook_said import CUT_SHORT, Shape

CONNECT_SECONDS: Final = 5.0
EXCERPT_CHARACTERS: Final = 2000
UNNAMED: Final = "webhook"

_ACCEPTED: Final = "text/event-stream, application/x-ndjson, application/json, text/plain, */*;q=0.1"
_EXCERPT_BYTES: Final = 4 * EXCERPT_CHARACTERS
_NOT_REACHED: Final = "The agent's webhook cannot be reached."
_NOT_TRUSTED: Final = "The agent's webhook cannot be reached: its certificate is not valid for this address."
_HUNG_UP: Final = "The agent's webhook hung up without an answer."
_NOT_HTTP: Final = "The agent's webhook answered with what is not HTTP."
_NOT_THERE: Final = "There is no webhook at the agent's address. Is its workflow active, and does it take POST?"
_REDIRECTS: Final = "The agent's webhook redirects, which is not followed. The address must be the final one."


class WebhookProvider:
    """A workflow behind a webhook. It is asked once, whatever comes: it may have acted on what it was asked.

    Args:
        url: where questions are posted.
        token: sent as a bearer token, when there is one.
        system_prompt: the agent's instructions, which travel beside the messages.
        config: the agent's settings, sent as they are. With `"trigger": "chat"` the webhook is n8n's Chat Trigger,
            which takes the last message alone, and remembers the conversation itself.
        session_id: the conversation, for such a workflow.
        send: the guarded transport's.

    Attributes:
        status: of the answer; None before there is one.
        content_type: as the answer's header has it.
        shape: what the answer was understood as.
    """

    def __init__(
        self, url: str, token: str | None, system_prompt: str, config: dict[str, Any], session_id: str, *, send: Send
    ) -> None:
        self._url = url
        self._token = token
        self._system_prompt = system_prompt
        self._config = config
        self._session_id = session_id
        self._send = send
        self._received = bytearray()
        self.status: int | None = None
        self.content_type: str | None = None
        self.shape: Shape = "empty"

    @property
    def model(self) -> str:
        """The model that the agent's settings name, for the workflow to use; `webhook` when they name none."""
        named = self._config.get("model")
        return named if isinstance(named, str) and named else UNNAMED

    @property
    def excerpt(self) -> str:
        """The first 2,000 characters of what was received, without the token should it be among them."""
        received = self._received.decode(errors="replace")
        return (received.replace(self._token, HIDDEN) if self._token else received)[:EXCERPT_CHARACTERS]

    async def stream(self, messages: tuple[PromptMessage, ...], options: Options = DEFAULTS) -> AsyncGenerator[Chunk]:
        """Ask the workflow, as `Provider.stream` promises. It is told its config, and not the `options`.

        Raises:
            WebhookFailed: it cannot be reached, failed, broke off, or is not understood.
            WebhookEmpty: it answered without a text.
            WebhookRefused: it is not there, or refuses the token.
            AddressRefused: its address may not be called.
            ProviderRateLimited: it refuses more requests for now.
        """
        del options
        sent = (self._token or "", self._url, self._system_prompt, *(message.content for message in messages))
        with faults_as_ours(UNNAMED, sent), _failures():
            response = await self._ask(messages)
            reply, arrivals, began = WebhookReply(), Arrivals(response), False
            try:
                while not reply.said.ended and (data := await arrivals.read(at_once=not began)):
                    self._note(data)
                    for text in reply.feed(data):
                        yield Text(text)
                        began = True
                for text in reply.close():
                    yield Text(text)
            finally:
                self.shape = reply.said.shape
                response.close()  # nothing more is read; n8n's workflow goes on to its end all the same
            if reply.said.usage is not None:
                yield reply.said.usage

    async def _ask(self, messages: tuple[PromptMessage, ...]) -> aiohttp.ClientResponse:
        """Return an answer that has begun, or raise what is wrong with it."""
        headers = {"Content-Type": "application/json", "Accept": _ACCEPTED, "Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        response = await self._send(
            "POST",
            self._url,
            data=msgspec.json.encode(self._payload(messages)),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
            once=True,
        )
        self.status = response.status
        self.content_type = response.headers.get("Content-Type")
        if response.status // 100 == 2:
            return response
        await self._note_error(response)
        raise _refusal(response)

    def _payload(self, messages: tuple[PromptMessage, ...]) -> dict[str, Any]:
        spoken = [message for message in messages if message.role != "system"]
        if self._config.get("trigger") == "chat":
            asked = spoken[-1].content if spoken else ""
            return {"action": "sendMessage", "sessionId": self._session_id, "chatInput": asked}
        return {
            "messages": [_message(message) for message in spoken],
            "system_prompt": self._system_prompt,
            "config": self._config,
        }

    async def _note_error(self, response: aiohttp.ClientResponse) -> None:
        """Read as much of an error's body as the excerpt holds, and let the connection go."""
        try:
            while len(self._received) < _EXCERPT_BYTES and (data := await response.content.readany()):
                self._note(data)
        except aiohttp.ClientError:
            pass  # the status is what counts
        finally:
            self.shape = "html" if is_page(bytes(self._received)) else "error"
            response.close()

    def _note(self, data: bytes) -> None:
        if (room := _EXCERPT_BYTES - len(self._received)) > 0:
            self._received += data[:room]


def _message(message: PromptMessage) -> dict[str, str]:
    told = {"role": message.role, "content": message.content}
    if message.at is not None:
        told["timestamp"] = message.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return told


def _refusal(response: aiohttp.ClientResponse) -> Exception:
    """Return what a status that is no success is."""
    match response.status:
        case 401 | 403:
            return WebhookRefused()
        case 404 | 405 | 410:
            return WebhookRefused(_NOT_THERE)
        case 429:
            return VendorFault.read(b"", status=429, retry_after=response.headers.get("Retry-After"))
        case status if 300 <= status < 400:
            return WebhookFailed(_REDIRECTS)
        case status:
            return WebhookFailed(f"The agent's webhook failed with status {status}.")


@contextmanager
def _failures() -> Generator[None]:
    """Turn what goes wrong with the connection into errors of ours, whose texts hold no address."""
    try:
        yield
    except aiohttp.ClientPayloadError:
        raise WebhookFailed(CUT_SHORT) from None
    except (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError):
        raise WebhookFailed(_NOT_TRUSTED) from None
    except aiohttp.ServerDisconnectedError:
        raise WebhookFailed(_HUNG_UP) from None
    except aiohttp.ClientResponseError:
        raise WebhookFailed(_NOT_HTTP) from None
    except (aiohttp.ClientError, TimeoutError, ValueError):  # ValueError: the token is no header's
        raise WebhookFailed(_NOT_REACHED) from None
