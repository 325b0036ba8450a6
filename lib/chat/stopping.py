"""An answer that its reader wants no more of, wherever it is being written."""

import asyncio
from typing import Final, Literal, cast

from lib.chat.persist import keep_what_is_left
from lib.chat.replay import Followed
from lib.db.session import Database
from lib.store import streams

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
    await _ask(database, stopped)
    status = await _look(database, stopped)
    while status == "streaming" and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(LOOK)
        status = await _look(database, stopped)
    if status == "streaming":
        await _close(database, stopped)
        status = await _look(database, stopped)
    return cast("State", status)


async def _ask(database: Database, stopped: Followed) -> None:
    async with database.one_statement(stopped.tenant) as connection:
        await streams.request_stop(connection, **stopped.named)


async def _look(database: Database, stopped: Followed) -> str:
    async with database.one_statement(stopped.tenant) as connection:
        return await streams.status(connection, **stopped.named)


async def _close(database: Database, stopped: Followed) -> None:
    """End an answer with what its batches hold."""
    async with database.one_statement(stopped.tenant) as connection:
        answer = await streams.read(connection, **stopped.named, after=0)
    await keep_what_is_left(
        database,
        stopped.tenant,
        answer.batches,
        "stopped",
        user_id=stopped.user_id,
        conversation_id=stopped.conversation_id,
        answer_id=stopped.answer_id,
        agent_id=answer.agent_id,
        total_ms=answer.age_ms,
    )
