"""One JSON request to a service that search depends on, with every way it can fail folded into one exception."""

from collections.abc import Mapping
from typing import Final

import aiohttp
import msgspec

from lib.http import send

MAX_REPLY: Final = 16 * 1024 * 1024
"""Bytes. A hundred passages are a hundredth of it; more is not an answer."""


GATEWAY: Final = 502
"""From this status on it is not the service that answers, or it says that it cannot. A 500 may be one text's fault."""


class ServiceFailed(Exception):
    """The service could not be used. The message names it and the fault, and holds neither keys nor what was asked.

    Attributes:
        away: whether it was not there at all, whatever it was asked.
    """

    def __init__(self, message: str, *, away: bool = False) -> None:
        super().__init__(message)
        self.away = away


async def post[Reply](url: str, body: object, *, service: str, headers: Mapping[str, str], reply: type[Reply]) -> Reply:
    """Send `body` as JSON and decode the answer as `reply`. The caller watches the clock.

    Raises:
        ServiceFailed: refused, another status than 200, an answer that is too large or not what `reply` describes.
    """
    sent = {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers}
    try:
        async with await send("POST", url, data=msgspec.json.encode(body), headers=sent) as response:
            if response.status != 200:
                raise ServiceFailed(
                    f"the {service} answered with status {response.status}", away=response.status >= GATEWAY
                )
            return msgspec.json.decode(await _read(response, service), type=reply)
    except (aiohttp.ClientError, OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        away = isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError)
        raise ServiceFailed(f"the {service} could not be used: {type(error).__name__}", away=away) from error


async def _read(response: aiohttp.ClientResponse, service: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_REPLY:
            raise ServiceFailed(f"the {service} sent more than {MAX_REPLY} bytes")
    return bytes(body)
