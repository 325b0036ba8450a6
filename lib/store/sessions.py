"""Sessions: one for each log-in, which a refresh token keeps alive."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import select, text

from lib.auth.identity import Role
from lib.db.events import Client, event_insert, new_event
from lib.db.session import Connection
from lib.db.tables import sessions

Method = Literal["password", "email", "second_factor", "recovery_code"]
"""How somebody showed who they are."""

GRACE: Final = timedelta(seconds=10)
"""How long a token that was exchanged may be exchanged again, for the same successor: two tabs, or an answer lost."""
BATCH: Final = 500
"""Rows that one statement of `purge` deletes."""


@dataclass(frozen=True, slots=True)
class Session:
    """A log-in that lasts, as its owner sees it."""

    id: UUID
    device: str | None
    address: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What came of a refresh token: `generation` is that of its successor, None when there is none."""

    team_id: UUID
    user_id: UUID
    role: Role
    generation: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session to begin: for whom, how they showed who they are, where, and how long it may last unused.

    `password_hash` is what the account had when they did, None where it has no password.
    """

    id: UUID
    team_id: UUID
    user_id: UUID
    password_hash: str | None
    method: Method
    client: Client
    lifetime: timedelta


async def begin(connection: Connection, new: NewSession) -> bool:
    """Begin a session, and note the log-in. Return whether the account is active still and has the same password."""
    event = new_event(
        "login",
        team_id=new.team_id,
        user_id=new.user_id,
        detail={"method": new.method, "session_id": str(new.id)},
        client=new.client,
    )
    parameters = {
        "id": new.id,
        "team_id": new.team_id,
        "user_id": new.user_id,
        "password_hash": new.password_hash,
        "lifetime": new.lifetime,
    }
    return (await connection.execute(_BEGIN, parameters | event.parameters)).scalar_one() == 1


async def refresh(
    connection: Connection, session_id: UUID, *, generation: int, lifetime: timedelta, client: Client
) -> Refreshed | None:
    """Exchange the refresh token of a generation for the next; None when the session has ended or is nobody's.

    The newest token is exchanged. The one before it, within `GRACE` of its exchange, has the same successor as then.
    Any other is in two hands: the session ends.
    """
    # The team is the session's, which only the statement knows.
    event = new_event("refresh_reused", team_id=session_id, detail={"session_id": str(session_id)}, client=client)
    parameters = {"id": session_id, "generation": generation, "lifetime": lifetime, "grace": GRACE}
    row = (await connection.execute(_REFRESH, parameters | event.parameters)).one_or_none()
    if row is None:
        return None
    return Refreshed(row.team_id, row.user_id, row.role, None if row.reused else row.generation)


async def end(connection: Connection, session_id: UUID, *, user_id: UUID, team_id: UUID, client: Client) -> bool:
    """End one session of a user; return whether it was there to end."""
    event = new_event(
        "session_revoked", team_id=team_id, user_id=user_id, detail={"session_id": str(session_id)}, client=client
    )
    parameters = {"id": session_id, "user_id": user_id} | event.parameters
    return (await connection.execute(_END, parameters)).scalar_one() == 1


async def end_all(
    connection: Connection, *, user_id: UUID, team_id: UUID, client: Client, but: UUID | None = None
) -> int:
    """End every session of a user, but one if it is named; return how many."""
    event = new_event("sessions_revoked", team_id=team_id, user_id=user_id, client=client)
    parameters = {"user_id": user_id, "but": but} | event.parameters
    return (await connection.execute(_END_ALL, parameters)).scalar_one()


async def log_out(connection: Connection, session_id: UUID, *, client: Client) -> None:
    """End the session of whoever shows its token, if it has not ended."""
    event = new_event("logout", team_id=session_id, detail={"session_id": str(session_id)}, client=client)
    await connection.execute(_LOG_OUT, {"id": session_id} | event.parameters)


async def live(connection: Connection, *, user_id: UUID) -> tuple[Session, ...]:
    """Return a user's sessions, the one used last first."""
    shown = (sessions.c[name] for name in Session.__dataclass_fields__)
    statement = (
        select(*shown)
        .where(sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None), sessions.c.expires_at > text("now()"))
        .order_by(sessions.c.last_used_at.desc(), sessions.c.id.desc())
    )
    return tuple(Session(**row) for row in (await connection.execute(statement)).mappings())


async def purge(connection: Connection) -> int:
    """Delete up to `BATCH` sessions that ended, or expired, thirty days ago, and return how many."""
    return (await connection.execute(_PURGE, {"batch": BATCH})).rowcount


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_BEGIN = text(f"""
    WITH account AS (
        UPDATE users SET last_login_at = now() FROM teams
        WHERE users.id = :user_id AND users.team_id = :team_id AND users.is_active
            AND users.password_hash IS NOT DISTINCT FROM CAST(:password_hash AS text)
            AND teams.id = users.team_id AND teams.is_active
        RETURNING users.id, users.team_id
    ), begun AS (
        INSERT INTO sessions (id, team_id, user_id, device, address, expires_at)
        SELECT :id, team_id, id, :event_device, :event_address, now() + :lifetime FROM account
        RETURNING user_id
    ), event AS ({event_insert("begun")})
    SELECT count(*) FROM begun
""")  # noqa: S608

# An UPDATE that waited for another sees what that one wrote, in its WHERE and in what it returns; so each is decided on
# the newest row, and `generation` here is the one that the row has had since.
_REFRESH = text(f"""
    WITH held AS (
        SELECT sessions.id, sessions.generation, sessions.rotated_at, users.role
        FROM sessions JOIN users ON users.id = sessions.user_id JOIN teams ON teams.id = sessions.team_id
        WHERE sessions.id = :id AND revoked_at IS NULL AND expires_at > now() AND users.is_active AND teams.is_active
        FOR UPDATE OF sessions
    ), judged AS (
        SELECT held.*, held.generation = :generation AS newest,
            held.generation = :generation + 1 AND held.rotated_at > now() - :grace AS again
        FROM held
    ), kept AS (
        UPDATE sessions SET
            generation = sessions.generation + CAST(newest AS integer),
            rotated_at = CASE WHEN newest THEN now() ELSE sessions.rotated_at END,
            last_used_at = now(),
            expires_at = CASE WHEN newest THEN now() + :lifetime ELSE expires_at END,
            revoked_at = CASE WHEN newest OR again THEN NULL ELSE now() END
        FROM judged WHERE sessions.id = judged.id
        RETURNING sessions.team_id, sessions.user_id, judged.role, sessions.generation, NOT (newest OR again) AS reused
    ), reused AS (SELECT team_id, user_id FROM kept WHERE reused),
    event AS ({event_insert("reused", team_id="source.team_id", user_id="source.user_id")})
    SELECT * FROM kept
""")  # noqa: S608

_END = text(f"""
    WITH ended AS (
        UPDATE sessions SET revoked_at = now()
        WHERE id = :id AND user_id = :user_id AND revoked_at IS NULL AND expires_at > now()
        RETURNING id
    ), event AS ({event_insert("ended")})
    SELECT count(*) FROM ended
""")  # noqa: S608

_END_ALL = text(f"""
    WITH ended AS (
        UPDATE sessions SET revoked_at = now()
        WHERE user_id = :user_id AND revoked_at IS NULL AND id IS DISTINCT FROM CAST(:but AS uuid)
        RETURNING id
    ), counted AS (SELECT count(*) AS ended FROM ended HAVING count(*) > 0),
    event AS ({event_insert("counted", detail="jsonb_build_object('count', source.ended)")})
    SELECT count(*) FROM ended
""")  # noqa: S608

_LOG_OUT = text(f"""
    WITH ended AS (
        UPDATE sessions SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL RETURNING team_id, user_id
    ), event AS ({event_insert("ended", team_id="source.team_id", user_id="source.user_id")})
    SELECT count(*) FROM ended
""")  # noqa: S608

_PURGE = text("""
    DELETE FROM sessions WHERE id = ANY (ARRAY(
        SELECT id FROM sessions WHERE least(expires_at, revoked_at) < now() - interval '30 days'
        LIMIT :batch FOR UPDATE SKIP LOCKED
    ))
""")
