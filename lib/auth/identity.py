"""Who a credential speaks for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

Role = Literal["user", "admin"]
Scope = Literal["chat", "read", "admin"]
"""What an API key may be made for: to chat, to read what its owner may read, to do what its owner may as an admin."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, in a team, with a role there, signed in by a session."""

    user_id: UUID
    team_id: UUID
    role: Role
    session_id: UUID


@dataclass(frozen=True, slots=True)
class Key:
    """Whose API key it is and what it may do, which never changes. Whether it still works is not said."""

    id: UUID
    user_id: UUID
    team_id: UUID
    scopes: frozenset[Scope]
    expires_at: datetime | None
