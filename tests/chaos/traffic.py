"""The people of a seed: each talk is somebody's conversation, and goes on from what was promised of it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID, uuid4

from lib.chat.prompt import HISTORY_MESSAGES
from tests.chaos.client import Client, Request, branching, prefix_of, saying
from tests.chaos.ledger import Attempt, Ledger, Turn
from tests.chaos.plan import Step, Talk
from tests.chaos.upstream import wording
from tests.fixtures.people import Asker

TRIES: Final = 3
"""How often a question with a key is sent until it is answered."""
AGAIN: Final = 0.2
"""Seconds before it is sent again."""
_WAITS: Final = {409, 503}
"""What is worth another try, besides no answer at all."""


@dataclass
class Talker:
    """Somebody in one conversation. `url` is where the server is at that moment."""

    talk: Talk
    asker: Asker
    team_id: UUID
    url: Callable[[], str]
    client: Client
    ledger: Ledger
    conversation_id: UUID | None = None
    answer_id: UUID | None = None
    marker: str = ""
    said: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    async def run(self) -> None:
        """Ask everything, in order."""
        for step in self.talk.steps:
            await asyncio.sleep(step.pause)
            await self._take(step)

    async def _take(self, step: Step) -> None:
        key = str(uuid4()) if step.keyed else None
        headers = {**self.asker.headers, **({"Idempotency-Key": key} if key else {})}
        turn, request = await self._put(step, headers, key)
        self.ledger.turns.append(turn)
        await asyncio.gather(*(self._until_told(turn, request) for _ in range(step.copies)))
        self._goes_on(turn)

    async def _until_told(self, turn: Turn, request: Request) -> None:
        for _ in range(TRIES if turn.key else 1):
            attempt = await self.client.ask(self.url(), request)
            turn.attempts.append(attempt)
            if attempt.told is None and attempt.cut and turn.step.resumes and attempt.message_id:
                await self._resume(turn, attempt)
            if attempt.told or (attempt.status not in {None, 200} and attempt.status not in _WAITS):
                return
            request = replace(request, leaves=None)
            await asyncio.sleep(AGAIN)

    async def _resume(self, turn: Turn, attempt: Attempt) -> None:
        path = f"{prefix_of(turn.step.way)}/{attempt.conversation_id}/messages/{attempt.message_id}/stream"
        if turn.step.way != "team":
            path += "?protocol=native"
        if not attempt.last_id:  # the book's frames have no ids: such a reader begins anew
            attempt.heard = ""
        await self.client.resume(self.url(), path, self.asker.headers, attempt)

    async def _put(self, step: Step, headers: Mapping[str, str], key: str | None) -> tuple[Turn, Request]:
        """Return what is asked: in the conversation, if there is one, else in a new one."""
        marker = f"{self.ledger.seed}.{step.number}"
        question = wording(marker, step.words, step.pace)
        more: dict[str, Any] = {"leaves": step.leaves, "stops": step.stops}
        does, target, tells = step.does, await self._target(step), False
        if does != "say" and self.conversation_id and target:
            if does == "regenerate":
                marker, question = self.marker, ""
            request = branching(step.way, does, self.conversation_id, target, question, headers, **more)
        else:
            does, way, target = "say", step.way, None
            if way in {"thread", "team"} and not await self._has_conversation():
                way = "native"
            if tells := step.tells_history and self.conversation_id is not None:
                more["history"] = self.said[-HISTORY_MESSAGES:]
            request = saying(way, question, self.conversation_id, headers, **more)
        turn = Turn(step, self.asker, self.team_id, marker, question, self.conversation_id, target, key, does, tells)
        return turn, request

    async def _target(self, step: Step) -> UUID | None:
        """Return the message at which a step leaves the path, where it does: an edit words the question anew."""
        if step.does != "edit" or not self.conversation_id:
            return self.answer_id
        path = f"/api/v1/conversations/{self.conversation_id}"
        shown: Any
        _, shown = await self.client.send("GET", self.url() + path, self.asker.headers)
        messages: list[dict[str, Any]] = shown.get("messages", []) if shown else []
        parents: list[str | None] = [row["parent_id"] for row in messages if row["id"] == str(self.answer_id)]
        return next((UUID(parent) for parent in parents if parent), None)

    async def _has_conversation(self) -> bool:
        """Open an empty conversation where there is none: users may."""
        if self.conversation_id is None and self.asker.id is not None:
            status, made = await self.client.send("POST", self.url() + "/api/v1/conversations", self.asker.headers, {})
            if status == 201:
                self.conversation_id = UUID(made["id"])
                self.ledger.opened.append(self.conversation_id)
        return self.conversation_id is not None

    def _goes_on(self, turn: Turn) -> None:
        """Go on from an answer that was promised to be there."""
        promised = [told for told in turn.told if told.acknowledged and told.outcome != "failed"]
        if promised:
            last = promised[-1]
            self.conversation_id, self.answer_id, self.marker = last.conversation_id, last.message_id, turn.marker
            heard = next(attempt.heard for attempt in turn.attempts if attempt.told is last)
            self.said += [{"role": "user", "content": turn.question}] if turn.question else []
            self.said += [{"role": "assistant", "content": heard}]
