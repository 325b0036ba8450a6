"""One request to a service whose health is in question, by a health route or by the doctor."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from lib.health.probe import Unwell
from lib.http import send

MOST: Final = 256 * 1024
"""Bytes read of an answer unless more are asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body as far as it was read, and the milliseconds that took."""

    status: int
    body: bytes
    took_ms: float


async def fetch(
    url: str,
    variables: str,
    headers: Mapping[str, str],
    *,
    seconds: float,
    most: int = MOST,
    method: str = "GET",
    data: bytes | None = None,
) -> Answer:
    """Return the answer to a request.

    Args:
        url: where to.
        variables: those that say where to, for the sentence.
        headers: what to send along.
        seconds: how long it may take.
        most: bytes of the body after which no more of it is read.
        method: of HTTP.
        data: the body.

    Raises:
        Unwell: it cannot be reached, is too slow, or refuses our key.
    """
    began = time.perf_counter()
    sent, limit = {"Accept-Encoding": "identity", **headers}, aiohttp.ClientTimeout(total=seconds)
    try:
        async with await send(method, url, data=data, headers=sent, timeout=limit) as response:
            body = await _body(response, most)
    except TimeoutError:
        raise Unwell(f"There is no answer within {seconds:g} s: see {variables}, and any firewall.") from None
    except aiohttp.ClientConnectorDNSError:
        raise Unwell(f"Its host is not known: correct {variables}.") from None
    except aiohttp.ClientConnectorCertificateError:
        raise Unwell(f"Its certificate is not valid for its host: correct {variables}.") from None
    except aiohttp.ClientConnectorError:
        raise Unwell(f"Nothing answers at its host and port: correct {variables}, or start it.") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unwell(f"It cannot be used ({type(error).__name__}): correct {variables}.") from None
    if response.status in {401, 403}:
        raise Unwell(f"It refuses the key with {response.status}: give a valid one in {variables}.")
    return Answer(response.status, body, round((time.perf_counter() - began) * 1000, 1))


async def _body(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= most:
            response.close()
            break
    return bytes(body)
