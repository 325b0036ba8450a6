"""The keys of the turns that this instance is answering: so it knows a retry for one while the database is away."""

from typing import Final
from uuid import UUID

from lib.errors import ConversationBusy
from lib.turns import TurnRecord

_BEING_ANSWERED: Final = "This very request is being answered. Its answer is there when you ask again."


class Keys:
    """Remembers them while they are answered, and which of them the database knows of."""

    def __init__(self) -> None:
        """Begin with none."""
        self._answering: dict[bytes, tuple[UUID, bool]] = {}

    def refuse_a_retry(self, turn: TurnRecord) -> None:
        """Refuse a turn whose key is being answered here, and is not known to the database, which could not tell.

        Raises:
            ConversationBusy: it is; once that is over, its answer is found in the spool.
        """
        _, begun = self._answering.get(turn.key.key_hash, (None, True)) if turn.key else (None, True)
        if not begun:
            raise ConversationBusy(_BEING_ANSWERED, retry_after=1)

    def add(self, turn: TurnRecord, *, begun: bool) -> None:
        """Note that a turn is being answered; `begun` says that the database knows of it.

        Raises:
            ConversationBusy: the database could not say so of both, but another with its key is being answered here.
        """
        if turn.key is None:
            return
        if turn.key.key_hash in self._answering:
            raise ConversationBusy(_BEING_ANSWERED, retry_after=1)
        self._answering[turn.key.key_hash] = turn.answer_id, begun

    def remove(self, turn: TurnRecord) -> None:
        """Note that a turn is over, if it was noted."""
        if turn.key and self._answering.get(turn.key.key_hash, (None, True))[0] == turn.answer_id:
            del self._answering[turn.key.key_hash]
