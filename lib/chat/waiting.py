"""What is asked of a conversation while some of it still waits in the spool."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

from lib.db.session import Database
from lib.errors import ConversationBusy, ConversationNotFound, MessageNotFound

if TYPE_CHECKING:
    from lib.spool import Spool


async def brought_in[T](
    ask: Callable[[], Awaitable[T]], conversation_id: UUID, *, spool: "Spool | None", database: Database
) -> T:
    """Return what `ask` returns; when it misses something that waits, bring that in and ask once more.

    Of a conversation that began while the database was away, nobody there knows; of one whose answer waits, everybody
    takes it to be written still.

    Raises:
        ConversationNotFound, MessageNotFound, ConversationBusy: nothing of it waits; and what else `ask` raises.
    """
    try:
        return await ask()
    except ConversationNotFound:
        if spool is None or not await spool.replay_conversation(database, conversation_id):
            raise
    except (ConversationBusy, MessageNotFound):
        if spool is None or not spool.holds or not await spool.replay_conversation(database, conversation_id):
            raise
    return await ask()
