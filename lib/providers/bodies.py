"""Bodies that are read to be looked at, rather than told."""

from typing import Final

import aiohttp

BODY_LIMIT: Final = 64 * 1024
"""Bytes read of an error, or of a list of models."""


async def beginning(response: aiohttp.ClientResponse) -> bytes:
    """Read a short body, as far as `BODY_LIMIT`, and let the connection go.

    Raises:
        aiohttp.ClientError: the connection was lost.
    """
    body = bytearray()
    try:
        while len(body) < BODY_LIMIT and (data := await response.content.readany()):
            body += data
    finally:
        response.close()
    return bytes(body[:BODY_LIMIT])
