"""One GET to a service whose health is in question."""

from collections.abc import Mapping
from typing import Final

import aiohttp

from lib.health.probe import Unwell
from lib.http import send

MOST: Final = 256 * 1024
"""Bytes read of an answer: no list of models, and no description of a collection, is longer."""


async def fetch(url: str, headers: Mapping[str, str], *, seconds: float) -> tuple[int, bytes]:
    """Return the status and the body of an answer, the body cut at `MOST`.

    Raises:
        Unwell: it cannot be reached, or is too slow.
    """
    sent = {"Accept-Encoding": "identity", **headers}
    try:
        async with await send("GET", url, headers=sent, timeout=aiohttp.ClientTimeout(total=seconds)) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) >= MOST:
                    response.close()
                    break
            return response.status, bytes(body)
    except TimeoutError:
        raise Unwell(f"There was no answer within {seconds:g} s.") from None
    except aiohttp.ClientConnectorDNSError:
        raise Unwell("Its name is not known.") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unwell(f"It cannot be reached: {type(error).__name__}.") from None


def faulted(status: int, *, variables: str) -> str:
    """Say what a status other than 200 means; `variables` are those to look at."""
    if status in {401, 403}:
        return f"It refuses our key with {status}: see {variables}."
    return f"It answered with {status}: see {variables}." if status < 500 else f"It fails with {status}."
