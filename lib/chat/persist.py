"""How a turn is kept: its question before the model is asked, its answer before the client is told it is done."""

import logging
from uuid import UUID

from lib.chat.prompt import HISTORY_MESSAGES
from lib.db.limits import Hit
from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM, Asker, Tenant
from lib.errors import DatabaseUnavailable, Unauthenticated
from lib.ids import new_id, unguessable_id
from lib.store import turns, users
from lib.store.turns import Begun, TurnRecord, TurnResult
from lib.telemetry.tracing import traced
from lib.unhindered import unhindered

_log = logging.getLogger("parley.chat")


@traced("load history")
async def keep_question(
    database: Database, turn: TurnRecord, tenant: Tenant, *, hit: Hit | None = None
) -> Begun | None:
    """Commit the user's message and return what was said before; None when the database is away.

    The same statement counts the turn, if `hit` says for whom. While the database is away nobody is limited.

    Raises:
        RateLimited: there were too many turns; nothing is stored.
        ConversationNotFound: the turn continues what is not this caller's.
        Unauthenticated: the tenant's asker is signed in no longer.
    """
    try:
        async with database.one_statement(tenant) as connection:
            if not turn.opens:
                return await turns.continue_(connection, turn, limit=HISTORY_MESSAGES, hit=hit)
            return await turns.begin(connection, turn, hit=hit)
    except DatabaseUnavailable:
        return None


@traced("persist")
async def keep_answer(database: Database, turn: TurnRecord, result: TurnResult, *, begun: bool) -> bool:
    """Commit the answer and its log line, also when the client leaves meanwhile; return whether they are kept."""
    return await unhindered(_write(database, turn, result, begun=begun))


async def keep_exchange(database: Database, *, user_id: UUID, query: str, response: str) -> TurnRecord:
    """Keep a question and an answer that were had elsewhere, as a conversation of their own.

    Raises:
        NotFound: there is no such user.
        DatabaseUnavailable: nothing is stored.
    """
    async with database.one_statement(EVERY_TEAM) as connection:
        user = await users.find_active(connection, user_id)
    turn = TurnRecord(user.team_id, user_id, unguessable_id(), new_id(), new_id(), query, opens=True)
    async with database.one_statement(Tenant(user.team_id)) as connection:
        await turns.save_whole(connection, turn, TurnResult("complete", response, new_id()))
    return turn


async def _write(database: Database, turn: TurnRecord, result: TurnResult, *, begun: bool) -> bool:
    # Whoever has signed out meanwhile gets their answer kept. One that was not begun was never asked for its account.
    asker = None if begun else Asker(turn.user_id)
    try:
        async with database.one_statement(Tenant(turn.team_id, asker)) as connection:
            if begun:
                return await turns.finish(connection, turn, result)
            return await turns.save_whole(connection, turn, result)
    except (DatabaseUnavailable, Unauthenticated):
        return False
    except Exception:
        # The caller has read the answer: a fault of ours in keeping it must not take it back.
        _log.exception("turn could not be saved")
        return False
