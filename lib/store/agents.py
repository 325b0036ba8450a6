"""Agents as a team sees, makes, changes and deletes them. A deleted one keeps its row: conversations name it."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from sqlalchemy import text

from lib.agents.agent import Agent
from lib.db.events import Client, EventDetail, event_insert, new_event
from lib.db.session import Connection
from lib.errors import AgentNotFound

AVATARS_IN_A_LIST: Final = 3_000_000
"""Characters of pictures in one list. A platform's answer ends at 4.5 MB, and one picture may have 2.8."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at agents.

    Attributes:
        user_id: the account.
        may_administer: whether its credential may be an administrator's; whether the account is one, the database says.
    """

    user_id: UUID
    may_administer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAgent(Agent):
    """An agent with what surrounds it. `avatar` is a data URI."""

    team_id: UUID
    created_by: UUID | None
    description: str
    avatar: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SeenAgent:
    """An agent as somebody sees it.

    Attributes:
        agent: it; to whoever is no administrator without addresses, secrets and instructions.
        whole: whether the viewer is one.
    """

    agent: KeptAgent
    whole: bool


@dataclass(frozen=True, slots=True)
class OwnHosts:
    """A team's agent, with the private hosts that the team's agents may call."""

    agent: KeptAgent
    allowed_hosts: frozenset[str]


async def page(
    connection: Connection,
    viewer: Viewer,
    *,
    team_id: UUID,
    include_inactive: bool = False,
    limit: int,
    offset: int = 0,
    after: UUID | None = None,
) -> tuple[SeenAgent, ...]:
    """Return agents of a team, the newest first.

    Pictures are in it as far as they fit into `AVATARS_IN_A_LIST` together; `find` has each.

    Args:
        connection: of a tenant.
        viewer: who looks.
        team_id: whose agents they are.
        include_inactive: with those that are switched off, for an administrator; to others they are not there.
        limit: how many at most.
        offset: how many to pass over.
        after: the id of the last agent of the page before.
    """
    given = _of(viewer) | {
        "team_id": team_id,
        "include_inactive": include_inactive,
        "limit": limit,
        "offset": offset,
        "after": after,
    }
    return tuple(_seen(row) for row in (await connection.execute(_PAGE, given)).mappings())


async def find(connection: Connection, viewer: Viewer, agent_id: UUID, *, team_id: UUID) -> SeenAgent:
    """Return an agent of the team, also one that is switched off: conversations name it.

    Raises:
        AgentNotFound: there is none, or it is deleted.
    """
    given = _of(viewer) | {"id": agent_id, "team_id": team_id}
    return _seen(_one((await connection.execute(_FIND, given)).mappings().one_or_none()))


async def find_to_call(connection: Connection, agent_id: UUID, *, team_id: UUID) -> OwnHosts:
    """Return an agent with all that it takes to call or change it, for an administrator. Its picture is left out.

    Raises:
        AgentNotFound: there is none, or it is deleted.
    """
    row = _one((await connection.execute(_TO_CALL, {"id": agent_id, "team_id": team_id})).mappings().one_or_none())
    return OwnHosts(_agent(row), _hosts(row["allowed_hosts"]))


async def allowed_hosts(connection: Connection, *, team_id: UUID) -> frozenset[str]:
    """Return the private hosts that a team's agents may call, as the operator allowed them to it."""
    return _hosts((await connection.execute(_ALLOWED_HOSTS, {"team_id": team_id})).scalar_one_or_none())


async def create(connection: Connection, new: KeptAgent, *, client: Client) -> KeptAgent:
    """Keep a new agent, note who made it, and return it. Its dates are the database's."""
    event = new_event(
        "agent_created",
        team_id=new.team_id,
        actor_id=new.created_by,
        detail={"agent_id": str(new.id)},
        client=client,
    )
    given = {**asdict(new), "config": _json(new.config)} | event.parameters
    return _agent((await connection.execute(_CREATE, given)).mappings().one())


async def change(
    connection: Connection,
    seen: KeptAgent,
    changes: Mapping[str, Any],
    *,
    actor_id: UUID,
    client: Client,
) -> KeptAgent | None:
    """Change an agent, note what was changed and by whom, and return it; None when it is not any more as it was seen.

    Args:
        connection: of a tenant.
        seen: the agent as the changes were made for it.
        changes: new values of columns of ours, at least one.
        actor_id: who changes it.
        client: from where.
    """
    fields = sorted(name.removeprefix("sealed_") for name in changes)
    detail: EventDetail = {"agent_id": str(seen.id), "fields": fields}
    event = new_event("agent_updated", team_id=seen.team_id, actor_id=actor_id, detail=detail, client=client)
    given = {**changes, "id": seen.id, "team_id": seen.team_id, "seen_at": seen.updated_at}
    if "config" in changes:
        given["config"] = _json(changes["config"])
    row = (await connection.execute(_change(changes), given | event.parameters)).mappings().one_or_none()
    return None if row is None else _agent(row)


async def delete(connection: Connection, agent_id: UUID, *, team_id: UUID, actor_id: UUID, client: Client) -> None:
    """Delete an agent, and note who did it. Its secrets go; its row stays, for the conversations that it had.

    Raises:
        AgentNotFound: there is none, or it is deleted.
    """
    event = new_event(
        "agent_deleted", team_id=team_id, actor_id=actor_id, detail={"agent_id": str(agent_id)}, client=client
    )
    given = {"id": agent_id, "team_id": team_id} | event.parameters
    if (await connection.execute(_DELETE, given)).scalar_one() == 0:
        raise AgentNotFound


def _of(viewer: Viewer) -> dict[str, Any]:
    return {"viewer_id": viewer.user_id, "may_administer": viewer.may_administer}


def _one[R](row: R | None) -> R:
    if row is None:
        raise AgentNotFound
    return row


def _seen(row: Mapping[Any, Any]) -> SeenAgent:
    return SeenAgent(_agent(row), row["whole"])


def _agent(row: Mapping[Any, Any]) -> KeptAgent:
    return KeptAgent(**{name: row[name] for name in _COLUMNS})


def _hosts(value: object) -> frozenset[str]:
    """Read what an operator wrote into a team's settings."""
    hosts = cast("list[object]", value) if isinstance(value, list) else []
    return frozenset(host for host in hosts if isinstance(host, str))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


# Below, constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_COLUMNS: Final = tuple(KeptAgent.__dataclass_fields__)
_PRIVATE: Final = {"webhook_url", "sealed_webhook_token", "base_url", "sealed_api_key"}
"""Columns that an administrator alone sees."""

_WHOLE: Final = """
    (:may_administer AND EXISTS (
        SELECT FROM users WHERE id = :viewer_id AND team_id = :team_id AND role = 'admin'
    )) AS whole
"""


def _shown(name: str) -> str:
    if name == "system_prompt":
        return "CASE WHEN whole THEN system_prompt ELSE '' END AS system_prompt"
    return f"CASE WHEN whole THEN {name} END AS {name}" if name in _PRIVATE else name


_SHOWN: Final = ", ".join(_shown(name) for name in _COLUMNS)

# The size of a picture is known without reading it.
_SHOWN_IN_A_LIST: Final = ", ".join(
    f"CASE WHEN pictures <= {AVATARS_IN_A_LIST} THEN avatar END AS avatar" if name == "avatar" else _shown(name)
    for name in _COLUMNS
)
_PAGE: Final = text(f"""
    WITH viewer AS MATERIALIZED (SELECT {_WHOLE}), found AS (
        SELECT agents.*, whole FROM agents, viewer
        WHERE team_id = :team_id AND deleted_at IS NULL AND (is_active OR (:include_inactive AND whole))
            AND (CAST(:after AS uuid) IS NULL OR id < CAST(:after AS uuid))
        ORDER BY id DESC LIMIT :limit OFFSET :offset
    )
    SELECT {_SHOWN_IN_A_LIST}, whole
    FROM (SELECT *, sum(octet_length(avatar)) OVER (ORDER BY id DESC) AS pictures FROM found) AS measured
    ORDER BY id DESC
""")  # noqa: S608

_FIND: Final = text(f"""
    SELECT {_SHOWN}, whole FROM agents, (SELECT {_WHOLE}) AS viewer
    WHERE id = :id AND team_id = :team_id AND deleted_at IS NULL
""")  # noqa: S608

_TO_CALL: Final = text(f"""
    SELECT {", ".join("NULL AS avatar" if name == "avatar" else f"agents.{name}" for name in _COLUMNS)},
        teams.settings -> 'webhook_allowed_hosts' AS allowed_hosts
    FROM agents JOIN teams ON teams.id = agents.team_id
    WHERE agents.id = :id AND agents.team_id = :team_id AND agents.deleted_at IS NULL
""")  # noqa: S608

_ALLOWED_HOSTS: Final = text("SELECT settings -> 'webhook_allowed_hosts' FROM teams WHERE id = :team_id")

_GIVEN: Final = [name for name in _COLUMNS if name not in {"created_at", "updated_at"}]


def _value(name: str) -> str:
    return "CAST(:config AS jsonb)" if name == "config" else f":{name}"


_CREATE: Final = text(f"""
    WITH event AS ({event_insert()})
    INSERT INTO agents ({", ".join(_GIVEN)}) VALUES ({", ".join(_value(name) for name in _GIVEN)})
    RETURNING {", ".join(_COLUMNS)}
""")  # noqa: S608

_DELETE: Final = text(f"""
    WITH deleted AS (
        UPDATE agents SET deleted_at = now(), updated_at = now(), is_active = false, sealed_webhook_token = NULL,
            sealed_api_key = NULL
        WHERE id = :id AND team_id = :team_id AND deleted_at IS NULL RETURNING id
    ), event AS ({event_insert("deleted")})
    SELECT count(*) FROM deleted
""")  # noqa: S608


def _change(changes: Collection[str]) -> Any:
    """Return the statement that changes these columns."""
    assigned = ", ".join(f"{name} = {_value(name)}" for name in _COLUMNS if name in changes)
    return text(f"""
        WITH changed AS (
            UPDATE agents SET {assigned}, updated_at = clock_timestamp()
            WHERE id = :id AND team_id = :team_id AND updated_at = :seen_at AND deleted_at IS NULL
            RETURNING {", ".join(_COLUMNS)}
        ), event AS ({event_insert("changed")})
        SELECT * FROM changed
    """)  # noqa: S608
