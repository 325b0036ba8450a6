"""One request of one client, over HTTP, in any of the ways that there are to ask."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import aiohttp

from tests.chaos.hearing import Hearing, whole
from tests.chaos.ledger import Attempt
from tests.chaos.plan import WHOLE, Way

PATIENCE: Final = 5.0
"""Seconds that a client waits for an answer, to its end."""
_NO_ANSWER: Final = (aiohttp.ClientError, TimeoutError, ConnectionError)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `leaves` and `stops` count pieces of the answer, after which the client does so."""

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    streamed: bool
    leaves: int | None = None
    stops: int | None = None


class Client:
    """Somebody's program. Each request has a connection of its own."""

    def __init__(self, on_last_word: Callable[[], None]) -> None:
        """Tell somebody at once whenever a turn's last word comes."""
        self._on_last_word = on_last_word
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=aiohttp.ClientTimeout(total=PATIENCE)
        )
        self._asides: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait for what was sent beside answers, and close."""
        if self._asides:
            await asyncio.wait(self._asides)
        await self._session.close()

    async def ask(self, url: str, request: Request) -> Attempt:
        """Send a request, and return all that came of it."""
        attempt = Attempt(began=time.monotonic())
        try:
            posted = self._session.post(url + request.path, json=request.body, headers=request.headers)
            async with posted as response:
                attempt.status = response.status
                if response.status != 200:
                    attempt.code = (await response.json()).get("code")
                elif request.streamed:
                    await self._read(url, request, response, attempt)
                else:
                    whole((await response.json())["response"] if _wraps(request) else await response.json(), attempt)
                    self._on_last_word()
        except _NO_ANSWER as error:
            attempt.cut = type(error).__name__
        except json.JSONDecodeError:
            attempt.cut = "half a body"
        attempt.ended = time.monotonic()
        return attempt

    async def resume(self, url: str, path: str, headers: Mapping[str, str], attempt: Attempt) -> None:
        """Take a stream up again that broke off, and note what comes."""
        attempt.resumed = True
        more = {"Last-Event-ID": attempt.last_id} if attempt.last_id else {}
        try:
            async with self._session.get(url + path, headers={**headers, **more}) as response:
                if response.status == 200:
                    hearing = Hearing(attempt, self._on_last_word)
                    async for data in response.content.iter_any():
                        hearing.feed(data)
        except _NO_ANSWER as error:
            attempt.cut = type(error).__name__
        attempt.ended = time.monotonic()

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: Any = None) -> tuple[int, Any]:
        """Send anything else; return the status and the body, 0 and None where no answer came."""
        try:
            async with self._session.request(method, url, headers=headers, json=body) as response:
                return response.status, await response.json()
        except (*_NO_ANSWER, json.JSONDecodeError):
            return 0, None

    async def _read(self, url: str, request: Request, response: aiohttp.ClientResponse, attempt: Attempt) -> None:
        named = (response.headers.get("X-Message-ID"), response.headers.get("X-Conversation-ID"))
        attempt.message_id, attempt.conversation_id = (UUID(name) if name else None for name in named)
        hearing, stops = Hearing(attempt, self._on_last_word), request.stops
        if request.leaves == 0:
            attempt.cut = "left"
            return
        async for data in response.content.iter_any():
            hearing.feed(data)
            if request.leaves is not None and hearing.pieces >= request.leaves:
                attempt.cut = "left"
                return
            if stops is not None and hearing.pieces >= stops:
                stops = None
                self._stop(url, request.headers, attempt)

    def _stop(self, url: str, headers: Mapping[str, str], attempt: Attempt) -> None:
        path = f"/api/v1/conversations/{attempt.conversation_id}/messages/{attempt.message_id}/stop"
        own = {name: value for name, value in headers.items() if name != "Idempotency-Key"}

        async def stop() -> None:
            await self.send("POST", url + path, own)

        task = asyncio.create_task(stop())
        self._asides.add(task)


def _wraps(request: Request) -> bool:
    return request.path == "/api/v1/chat"


def saying(
    way: Way,
    content: str,
    conversation_id: UUID | None,
    headers: Mapping[str, str],
    *,
    history: Sequence[Mapping[str, str]] | None = None,
    **more: Any,
) -> Request:
    """Return the request that asks something in a new conversation or an old one."""
    beside: dict[str, Any] = {"history": history} if history is not None else {}
    named = {"conversation_id": str(conversation_id), **beside} if conversation_id else beside
    match way:
        case "whole" | "book" | "native":
            path = "/api/v1/chat" if way == "whole" else f"/api/v1/chat/stream?protocol={way}"
            return Request(path, {"message": {"content": content}, **named}, headers, way not in WHOLE, **more)
        case "flow" | "flow-stream":
            path = "/conversations/chat" + ("" if way == "flow" else "/stream")
            return Request(path, {"message": content, **named}, headers, way not in WHOLE, **more)
        case "thread" | "team":
            path = f"{prefix_of(way)}/{conversation_id}/messages"
            return Request(path, {"content": content, **beside}, headers, streamed=True, **more)


def branching(
    way: Way, does: str, conversation_id: UUID, message_id: UUID, content: str, headers: Mapping[str, str], **more: Any
) -> Request:
    """Return the request that words a question anew, or has it answered again."""
    body = {"content": content} if does == "edit" else {}
    path = f"{prefix_of(way)}/{conversation_id}/messages/{message_id}/{does}"
    return Request(path, body, headers, streamed=True, **more)


def prefix_of(way: Way) -> str:
    """Return where a way finds conversations: the team's, or our own."""
    return "/api/chats" if way == "team" else "/api/v1/conversations"
