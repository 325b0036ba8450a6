"""Who answers which conversation, for turns while the database is away: what this instance has seen of it."""

from collections import OrderedDict
from typing import Final
from uuid import UUID

from lib.agents.agent import Agent

MOST: Final = 1000
"""Conversations that an instance knows the agents of, those that were asked something last."""


class KnownAgents:
    """Remembers the agents of conversations, and the private hosts that each of them may call."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: OrderedDict[UUID, tuple[Agent | None, frozenset[str]]] = OrderedDict()

    def remember(self, conversation_id: UUID, agent: Agent | None, hosts: frozenset[str]) -> None:
        """Note who answers a conversation; None for the deployment's own models."""
        self._known.pop(conversation_id, None)
        self._known[conversation_id] = agent, hosts
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    def recall(self, conversation_id: UUID) -> tuple[Agent | None, frozenset[str]] | None:
        """Return who answered it last; None where this instance has not seen it."""
        return self._known.get(conversation_id)
