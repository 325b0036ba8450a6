"""A turn as a streamed response."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from lib.chat.events import Started, TurnEvent
from lib.chat.request import Course
from lib.encoders.base import Encoder
from lib.settings import this_place
from lib.unhindered import unhindered
from lib.web.leaving import while_client_stays

STALL: Final = 60.0
"""Seconds for which a reader may take nothing. Then the reader is gone, whatever the connection says."""
FAREWELL: Final = 0.3
"""The same for one who has had the answer stopped: whoever writes it is to end."""
WATCH: Final = 0.25
"""Seconds between two looks at whether the reader takes anything."""


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
        course: Course | None = None,
        finishes: bool = False,
    ) -> None:
        """Take the turn's first event, which has happened already, and the others, which have not.

        Args:
            first: the first event.
            rest: the others.
            encoder: the protocol's.
            course: how the turn goes; what it leaves to do is done once the last event is sent.
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
        self._course = course or Course()
        self._finishes = finishes
        self._left = False
        self._sending_since: float | None = None
        self._stuck = False
        self._watch: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; return when it has ended, or the client has gone and the turn has been kept."""
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        # Lambda halts an instance with the end of its answer: there the end waits for what is left to do.
        ends_last = this_place().platform == "lambda"
        sending = self._send_events(send, ends=not ends_last)
        await while_client_stays(sending, receive, on_leave=self._leave if self._finishes else None)
        for work in self._course.afterwards:
            await unhindered(work())
        if ends_last:
            await self._send(send, b"", more=False)

    def _leave(self) -> None:
        self._left = True

    async def _send_events(self, send: Send, *, ends: bool) -> None:
        self._look(asyncio.current_task())
        try:
            async with aclosing(self._rest) as rest:
                await self._send(send, self._encoder.encode(self._first))
                async for event in rest:
                    await self._send(send, self._encoder.encode(event))
            if ends:
                await self._send(send, b"", more=False)
        finally:
            if self._watch is not None:
                self._watch.cancel()

    async def _send(self, send: Send, frame: bytes, *, more: bool = True) -> None:
        """Send a frame, unless the reader has left. One who takes nothing for too long has left, too."""
        if self._left or (more and not frame):
            return
        message: Message = {"type": "http.response.body", "body": frame, "more_body": more}
        self._sending_since = asyncio.get_running_loop().time()
        try:
            await send(message)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._stuck or task is None or task.uncancel() > 0:
                raise
            self._leave()
            if not self._finishes and not self._course.stopped:
                raise
        finally:
            self._sending_since = None

    def _look(self, sending: "asyncio.Task[object] | None") -> None:
        """Cancel a send that waits for its reader for too long; now and then for each stream, not for each token."""
        loop = asyncio.get_running_loop()
        patience = FAREWELL if self._course.stopped else STALL
        if self._sending_since is not None and loop.time() - self._sending_since > patience and sending is not None:
            self._stuck = True
            sending.cancel()
        else:
            self._watch = loop.call_later(WATCH, self._look, sending)
