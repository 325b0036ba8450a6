"""Who answers which conversation, for turns while the database is away: what this instance has seen of it."""

from collections import OrderedDict
from typing import Final
from uuid import UUID

from lib.agents.agent import Agent
from lib.turns import TurnRecord

MOST: Final = 1000
"""Conversations that an instance knows the agents of, those that were asked something last."""


class KnownAgents:
    """Remembers the agents of conversations, and the private hosts that each of them may call.

    A turn that only names a conversation has nobody look whose it is while the database is away. So what is known of
    one is known to its owner alone, a guest's to the guests who can name it.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._known: OrderedDict[_Owned, tuple[Agent | None, frozenset[str]]] = OrderedDict()

    def remember(self, turn: TurnRecord, agent: Agent | None, hosts: frozenset[str]) -> None:
        """Note who answers a turn that the database has begun; None for the deployment's own models."""
        self._known.pop(_owned(turn), None)
        self._known[_owned(turn)] = agent, hosts
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    def recall(self, turn: TurnRecord) -> tuple[Agent | None, frozenset[str]] | None:
        """Return who answered the turn's conversation last; None where this instance has not seen it as its asker's."""
        return self._known.get(_owned(turn))


_Owned = tuple[UUID, UUID | None, UUID]
"""A conversation, and whose it is: its team, and in it a user, or None for a guest."""


def _owned(turn: TurnRecord) -> _Owned:
    return turn.team_id, turn.user_id, turn.conversation_id
