"""What happened to an account, as an administrator reads it later, and how any statement writes it down.

A statement that changes something writes its event in the same breath: one round trip, and never one without the other.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict
from uuid import UUID

import msgspec

from lib.ids import new_id

EventKind = Literal[
    "setup",
    "login",
    "login_refused",
    "logout",
    "session_revoked",
    "sessions_revoked",
    "refresh_reused",
    "password_changed",
    "password_reset_asked",
    "password_reset",
    "second_factor_enabled",
    "second_factor_disabled",
    "recovery_codes_made",
    "recovery_code_used",
    "key_made",
    "key_revoked",
    "user_created",
    "user_updated",
    "role_changed",
    "user_deactivated",
    "user_activated",
    "user_deleted",
    "agent_created",
    "agent_updated",
    "agent_deleted",
]
"""A promise to whoever reads them: a name never changes its meaning."""

EventDetail = TypedDict(
    "EventDetail",
    {
        "from": str,
        "to": str,
        "role": str,
        "fields": list[str],
        "reason": str,
        "method": str,
        "session_id": str,
        "key_id": str,
        "agent_id": str,
        "scopes": list[str],
        "count": int,
        "keys": int,
        "left": int,
    },
    total=False,
)
"""What else there is to say. It is closed, since administrators read it: no secret, token or password, and nothing that
was typed at a log-in, where people type their password into the wrong field."""

LONGEST_DEVICE: Final = 200
"""Characters that are kept of what a client calls itself."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who sent a request: an address, and what the client calls itself (`User-Agent`)."""

    address: str | None = None
    device: str | None = None


NO_CLIENT: Final = Client()
"""Of what no request did: a script of an operator's, say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvent:
    """One thing that happened, in a team.

    `user_id` is whose account it is about; None where that is nobody's. `actor_id` is who did it, where that is
    somebody else. Both outlive the accounts.
    """

    id: UUID
    team_id: UUID
    kind: EventKind
    user_id: UUID | None = None
    actor_id: UUID | None = None
    detail: EventDetail
    address: str | None = None
    device: str | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What the statement of `event_insert` takes."""
        return {
            "event_id": self.id,
            "event_team_id": self.team_id,
            "event_user_id": self.user_id,
            "event_actor_id": self.actor_id,
            "event_kind": self.kind,
            "event_detail": msgspec.json.encode(self.detail).decode(),
            "event_address": self.address,
            "event_device": self.device,
        }


def new_event(
    kind: EventKind,
    *,
    team_id: UUID,
    user_id: UUID | None = None,
    actor_id: UUID | None = None,
    detail: EventDetail | None = None,
    client: Client = NO_CLIENT,
) -> SecurityEvent:
    """Return an event of now. An actor who is the user is not named twice."""
    return SecurityEvent(
        id=new_id(),
        team_id=team_id,
        kind=kind,
        user_id=user_id,
        actor_id=None if actor_id == user_id else actor_id,
        detail=detail or {},
        address=client.address,
        device=_one_line(client.device),
    )


def event_insert(
    source: str = "(SELECT)",
    *,
    id: str = ":event_id",  # noqa: A002 - they are named as the columns
    team_id: str = ":event_team_id",
    user_id: str = ":event_user_id",
    kind: str = ":event_kind",
    detail: str = ":event_detail",
) -> str:
    """Return an `INSERT` that writes an event for each row of `source`, for a `WITH` item of another statement.

    `WITH revoked AS (UPDATE ... RETURNING user_id), event AS ({event_insert("revoked", user_id="source.user_id")})
    SELECT count(*) FROM revoked` revokes and says so, or does neither. Its parameters are an event's `parameters`; what
    only the statement knows is an expression over `source` instead. A source of several rows gives each an `id`.

    Args:
        source: the name of another `WITH` item; by default one row.
        id: the event's id.
        team_id: the team it happened in.
        user_id: whose account it is about.
        kind: one of `EventKind`.
        detail: JSON, or text that is JSON.
    """
    return f"""
        INSERT INTO security_events (id, team_id, user_id, actor_id, kind, detail, address, device)
        SELECT CAST({id} AS uuid), CAST({team_id} AS uuid), CAST({user_id} AS uuid), CAST(:event_actor_id AS uuid),
            {kind}, CAST({detail} AS jsonb), :event_address, :event_device
        FROM {source} AS source
    """  # noqa: S608 - expressions of our own; values are parameters


def _one_line(device: str | None) -> str | None:
    """Cut a client's own words to what a list shows, without what would break its lines."""
    printable = "".join(letter for letter in device or "" if letter.isprintable())
    return printable[:LONGEST_DEVICE].strip() or None
