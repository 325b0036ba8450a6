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
    if spool is None:
        return await ask()
    before, may_wait = _brought_in(spool), spool.holds
    try:
        return await ask()
    except (ConversationNotFound, ConversationBusy, MessageNotFound) as error:
        # Who is told of no conversation at all may have begun it at another instance: that is worth a look.
        looks = may_wait or isinstance(error, ConversationNotFound)
        came_in = looks and await spool.replay_conversation(database, conversation_id)
        if not came_in and _brought_in(spool) == before:
            raise
    return await ask()


def _brought_in(spool: "Spool") -> int:
    """Return how many turns this instance has brought in so far: a replay of all may be faster than one of ours."""
    return spool.counts["kept"] + spool.counts["known"]
