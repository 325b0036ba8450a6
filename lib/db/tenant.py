"""Whose rows a statement may touch, and on whose word: the wall between tenants.

Each statement of a tenant travels with a preface, in one libpq pipeline and so in one round trip and one transaction.
The preface asks whether the credential still holds, names the team to row-level security, and takes on a role that
bypasses nothing, whatever the role is that we log in as. A credential that no longer holds leaves the team unnamed: the
statement then sees no row and can write none, and the caller is told why.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from lib.errors import Forbidden, Unauthenticated


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and what has to hold for that, besides an active team.

    Attributes:
        user_id: an active account of the team; None for a guest.
        session_id: a session of that account, neither ended nor expired.
        key_id: an API key of that account, neither revoked nor expired.
        admin: the account has to be an administrator's.
    """

    user_id: UUID | None = None
    session_id: UUID | None = None
    key_id: UUID | None = None
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Tenant:
    """A team, whose rows alone are there. Without an asker nobody's word is asked for, as when an answer is saved."""

    team_id: UUID
    asked_by: Asker | None = None

    def preface(self) -> "Preface":
        """Return what goes ahead of a statement of this tenant."""
        asker = self.asked_by
        if asker is None:
            return Preface(_WALL, self.team_id, (), None)
        statements, by = _looked_up(asker)
        return Preface(statements[asker.admin], self.team_id, by, _ADMIN if asker.admin else _ANYBODY)


class EveryTeam:
    """No wall: for the deployment's own work, such as a log-in, whose team is not known yet, or a job."""

    def preface(self) -> None:
        """Return nothing: the statement goes alone."""


EVERY_TEAM: Final = EveryTeam()

Reach = Tenant | EveryTeam
"""How far a statement may reach."""

IN_REACH: Final = "team_id = ANY (ARRAY(SELECT id FROM teams))"
"""What a report over all rows in reach asks for besides: an index on `team_id` and more is then used for one team and
for all."""


@dataclass(frozen=True, slots=True)
class Preface:
    """A statement that goes ahead of another. It gives one row: the asker's role, if any, and the server's process.

    Attributes:
        sql: the statement.
        team_id: the team that it names.
        by: what it looks the asker up by.
        roles: those that may ask the other; None for any.
        generic_plan: whether the other is planned for any parameters. Where it is prepared that happens once; else each
            of its first five times is planned for the parameters of then, which takes longer than a turn's statements.
    """

    sql: bytes
    team_id: UUID
    by: tuple[UUID | None, ...]
    roles: tuple[str, ...] | None
    generic_plan: bool = False

    @property
    def asked(self) -> tuple[bytes, tuple[UUID | str | None, ...]]:
        """The statement and its parameters."""
        return self.sql, (self.team_id, "force_generic_plan" if self.generic_plan else "auto", *self.by)

    def judge(self, role: str | None) -> None:
        """Judge the asker by the role that the preface found.

        Raises:
            Unauthenticated: the credential does not hold any more.
            Forbidden: it does, and its role is not enough.
        """
        if self.roles is None:
            return
        if role is None:
            raise Unauthenticated("This sign-in is no longer valid.")
        if role not in self.roles:
            raise Forbidden


_ADMIN: Final = ("admin",)
_ANYBODY: Final = ("guest", "user", "admin")


def _looked_up(asker: Asker) -> tuple[tuple[bytes, bytes], tuple[UUID | None, ...]]:
    """Return the statements that look an asker up, for anybody and for an administrator, and by what they do."""
    if asker.session_id is not None:
        return _SESSION, (asker.user_id, asker.session_id)
    if asker.key_id is not None:
        return _KEY, (asker.user_id, asker.key_id)
    return (_GUEST, ()) if asker.user_id is None else (_USER, (asker.user_id,))


# When it plans, Postgres does not know whose rows the policy lets through, and takes each team for one of middle size.
# Bitmaps of a team's rows then look cheap beside the index that has a conversation's last messages in order, and of a
# large team they are all that it ever said: so there are none.
#
# The team is named before the role is taken on, since the inner rows come first (OFFSET 0 keeps them apart); the tables
# that the innermost query reads are read with the rights and the sight that the statement began with.
_TAKEN_ON: Final = """
    pg_backend_pid(), set_config('role', 'parley_tenant', true), set_config('enable_bitmapscan', 'off', true),
    set_config('plan_cache_mode', $2, true)
"""
_WALL: Final = f"""
    SELECT CAST(NULL AS text), {_TAKEN_ON}
    FROM (SELECT set_config('parley.team_id', CAST($1 AS text), true) OFFSET 0) AS named
""".encode()  # noqa: S608 - constants of this module


def _named(found: str) -> tuple[bytes, bytes]:
    """Return the preface of an asker whose role a query finds: for anybody, and for an administrator."""
    anybody, admin = (
        f"""
        SELECT named.role, {_TAKEN_ON}
        FROM (
            SELECT asked.role, set_config(
                'parley.team_id', CASE WHEN {holds} THEN CAST($1 AS text) ELSE '' END, true
            )
            FROM (SELECT ({found}) AS role OFFSET 0) AS asked OFFSET 0
        ) AS named
        """.encode()  # noqa: S608 - constants of this module
        for holds in ("asked.role IS NOT NULL", "asked.role = 'admin'")
    )
    return anybody, admin


def _account(*, beside: str = "") -> str:
    return f"""
        SELECT users.role FROM users JOIN teams ON teams.id = users.team_id {beside}
        WHERE users.id = $3 AND users.team_id = $1 AND users.is_active AND teams.is_active
    """  # noqa: S608 - constants of this module


_GUEST: Final = _named("SELECT 'guest' FROM teams WHERE id = $1 AND is_active")
_USER: Final = _named(_account())
_SESSION: Final = _named(
    _account(
        beside="""
            JOIN sessions ON sessions.id = $4 AND sessions.user_id = users.id
                AND sessions.revoked_at IS NULL AND sessions.expires_at > now()
        """
    )
)
_KEY: Final = _named(
    _account(
        beside="""
            JOIN api_keys ON api_keys.id = $4 AND api_keys.user_id = users.id AND api_keys.revoked_at IS NULL
                AND (api_keys.expires_at IS NULL OR api_keys.expires_at > now())
        """
    )
)
