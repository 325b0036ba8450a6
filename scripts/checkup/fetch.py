"""One HTTP request to something that is checked."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from lib.http import send
from scripts.checkup.finding import CheckFailed

PATIENCE: Final = 10.0
"""Seconds for one request."""
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body, and the milliseconds until it was whole."""

    status: int
    body: bytes
    took_ms: float


async def fetch(
    url: str, variables: str, headers: Mapping[str, str], *, method: str = "GET", data: bytes | None = None
) -> Answer:
    """Return the answer to a request.

    Args:
        url: where to.
        variables: those that say where to, for the sentence.
        headers: what to send along.
        method: of HTTP.
        data: the body.

    Raises:
        CheckFailed: it cannot be reached, is too slow, or refuses our key.
    """
    began = time.perf_counter()
    patience = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with await send(method, url, data=data, headers=headers, timeout=patience) as response:
            body = await response.read()
    except TimeoutError:
        raise CheckFailed(f"There is no answer within {PATIENCE:g} s: see {variables}, and any firewall.") from None
    except aiohttp.ClientConnectorDNSError:
        raise CheckFailed(f"Its host is not known: correct {variables}.") from None
    except aiohttp.ClientConnectorCertificateError:
        raise CheckFailed(f"Its certificate is not valid for its host: correct {variables}.") from None
    except aiohttp.ClientConnectorError:
        raise CheckFailed(f"Nothing answers at its host and port: correct {variables}, or start it.") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise CheckFailed(f"It cannot be used ({type(error).__name__}): correct {variables}.") from None
    if response.status in {401, 403}:
        raise CheckFailed(f"It refuses the key with {response.status}: give a valid one in {variables}.")
    return Answer(response.status, body, round((time.perf_counter() - began) * 1000, 1))


def is_loopback(url: str) -> bool:
    """Say whether a URL leads to this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK
