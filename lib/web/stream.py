"""A turn as a streamed response."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Self

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lib.chat.events import TurnEvent
from lib.encoders.base import Encoder
from lib.web.leaving import while_client_stays


class EventStream(Response):
    """Sends each event as it happens, and ends the turn when the client is gone.

    It speaks ASGI itself: Starlette's streaming response costs up to a quarter more CPU a token, and cancels a
    generator in a way that loses what the generator awaits while it cleans up.
    """

    def __init__(self, first: TurnEvent, rest: AsyncGenerator[TurnEvent], encoder: Encoder) -> None:
        """Take the turn's first event, which has happened already, and the others, which have not."""
        super().__init__(media_type=encoder.media_type)
        del self.headers["content-length"]
        self.headers["Cache-Control"] = "no-cache, no-transform"
        self.headers["X-Accel-Buffering"] = "no"
        self._first = first
        self._rest = rest
        self._encoder = encoder

    @classmethod
    async def of(cls, events: AsyncGenerator[TurnEvent], encoder: Encoder) -> Self:
        """Start the turn and return its response.

        Raises:
            ParleyError: what the turn refuses, while there is still a status to say it with.
        """
        return cls(await anext(events), events, encoder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; return when it has ended, or the client has gone and the turn has been kept."""
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await while_client_stays(self._send_events(send), receive)

    async def _send_events(self, send: Send) -> None:
        async with aclosing(self._rest) as rest:
            await self._send_event(self._first, send)
            async for event in rest:
                await self._send_event(event, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_event(self, event: TurnEvent, send: Send) -> None:
        if frame := self._encoder.encode(event):
            await send({"type": "http.response.body", "body": frame, "more_body": True})
