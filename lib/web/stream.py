"""A turn as a streamed response."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Self

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lib.chat.events import Started, TurnEvent
from lib.chat.request import Work
from lib.encoders.base import Encoder
from lib.settings import this_place
from lib.unhindered import unhindered
from lib.web.leaving import while_client_stays


class EventStream(Response):
    """Sends each event as it happens. When the client is gone it ends the turn, or finishes it for nobody.

    It speaks ASGI itself: Starlette's streaming response costs up to a quarter more CPU a token, and cancels a
    generator in a way that loses what the generator awaits while it cleans up.
    """

    def __init__(
        self,
        first: TurnEvent,
        rest: AsyncGenerator[TurnEvent],
        encoder: Encoder,
        *,
        afterwards: Sequence[Work] = (),
        finishes: bool = False,
    ) -> None:
        """Take the turn's first event, which has happened already, and the others, which have not.

        Args:
            first: the first event.
            rest: the others.
            encoder: the protocol's.
            afterwards: what is to be done once the last event is sent; the turn adds to it.
            finishes: whether the turn goes on to its end when its client is gone.
        """
        super().__init__(media_type=encoder.media_type)
        del self.headers["content-length"]
        self.headers["Cache-Control"] = "no-cache, no-transform"
        self.headers["X-Accel-Buffering"] = "no"
        if isinstance(first, Started):  # for whoever wants to stop or to take up a stream that has said nothing yet
            self.headers["X-Conversation-ID"] = str(first.conversation_id)
            self.headers["X-Message-ID"] = str(first.message_id)
        self._first = first
        self._rest = rest
        self._encoder = encoder
        self._afterwards = afterwards
        self._finishes = finishes
        self._left = False

    @classmethod
    async def of(
        cls,
        events: AsyncGenerator[TurnEvent],
        encoder: Encoder,
        *,
        afterwards: Sequence[Work] = (),
        finishes: bool = False,
    ) -> Self:
        """Start the turn and return its response.

        Raises:
            ParleyError: what the turn refuses, while there is still a status to say it with.
        """
        return cls(await anext(events), events, encoder, afterwards=afterwards, finishes=finishes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; return when it has ended, or the client has gone and the turn has been kept."""
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        # Lambda halts an instance with the end of its answer: there the end waits for what is left to do.
        ends_last = this_place().platform == "lambda"
        sending = self._send_events(send, ends=not ends_last)
        await while_client_stays(sending, receive, on_leave=self._leave if self._finishes else None)
        for work in self._afterwards:
            await unhindered(work())
        if ends_last and not self._left:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _leave(self) -> None:
        self._left = True

    async def _send_events(self, send: Send, *, ends: bool) -> None:
        async with aclosing(self._rest) as rest:
            await self._send_event(self._first, send)
            async for event in rest:
                await self._send_event(event, send)
        if ends and not self._left:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_event(self, event: TurnEvent, send: Send) -> None:
        if (frame := self._encoder.encode(event)) and not self._left:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
