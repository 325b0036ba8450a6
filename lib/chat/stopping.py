"""An answer that its reader wants no more of, wherever it is being written."""

import asyncio
from datetime import UTC, datetime
from typing import Final, Literal, cast

from lib.chat.events import ReasoningDelta, Sources, TextDelta
from lib.chat.replay import Followed, unpack
from lib.db.session import Database
from lib.ids import new_id
from lib.store import answers, streams
from lib.store.streams import Answer
from lib.turns import TurnRecord, TurnResult

State = Literal["streaming", "complete", "stopped", "interrupted", "failed"]

LOOK: Final = 0.1
"""Seconds between two looks at whether it has stopped."""
PATIENCE: Final = 2.5
"""Seconds after which nobody is writing it, since whoever does looks four times a second."""


async def stop(database: Database, stopped: Followed) -> State:
    """Have whoever writes an answer stop, and return how it stands then: `stopped`, unless it had ended before.

    An answer that nobody writes any more, since its function was killed, is closed with what is known of it.

    Raises:
        ConversationNotFound, MessageNotFound: there is no such answer of this caller.
        DatabaseUnavailable: nobody can be told.
    """
    until = asyncio.get_running_loop().time() + PATIENCE
    answer = await _ask(database, stopped)
    while answer.status == "streaming" and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(LOOK)
        answer = await _look(database, stopped)
    if answer.status == "streaming":
        await _close(database, stopped, answer)
        answer = await _look(database, stopped)
    return cast("State", answer.status)


async def _ask(database: Database, stopped: Followed) -> Answer:
    async with database.one_statement(stopped.tenant) as connection:
        await streams.request_stop(
            connection,
            team_id=stopped.tenant.team_id,
            user_id=stopped.user_id,
            conversation_id=stopped.conversation_id,
            message_id=stopped.answer_id,
        )
    return await _look(database, stopped)


async def _look(database: Database, stopped: Followed) -> Answer:
    async with database.one_statement(stopped.tenant) as connection:
        return await streams.read(
            connection,
            team_id=stopped.tenant.team_id,
            user_id=stopped.user_id,
            conversation_id=stopped.conversation_id,
            message_id=stopped.answer_id,
            after=0,
        )


async def _close(database: Database, stopped: Followed, answer: Answer) -> None:
    """End an answer with what its batches hold."""
    events = [event for _, batch in answer.batches for event in unpack(batch)]
    sources = next((event for event in events if isinstance(event, Sources)), None)
    result = TurnResult(
        "stopped",
        "".join(event.text for event in events if isinstance(event, TextDelta)),
        reasoning="".join(event.text for event in events if isinstance(event, ReasoningDelta)),
        retrieval=sources and sources.retrieval,
        finished_at=datetime.now(UTC),
    )
    turn = TurnRecord(
        stopped.tenant.team_id,
        stopped.user_id,
        stopped.conversation_id,
        new_id(),
        stopped.answer_id,
        "",
        opens=False,
    )
    async with database.one_statement(stopped.tenant) as connection:
        await answers.finish(connection, turn, result)
