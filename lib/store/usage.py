"""What was used, and what it cost: turns of one user or of a team, summed where they are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import TextClause, text

from lib.db.session import Connection

MOST_GROUPS: Final = 1000
"""Groups of one report; those with most turns, where there are more."""

GroupedBy = Literal["day", "model", "agent", "user"]


@dataclass(frozen=True, slots=True)
class Sums:
    """Turns, and what is known of them.

    `cost_usd` is the sum of the costs that are known, with 8 places; `turns_without_cost` says of how many turns none
    is, since their model has no price or told no tokens.
    """

    turns: int
    input_tokens: int
    output_tokens: int
    cost_usd: str
    turns_without_cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Sums):
    """Turns that are alike.

    `key` is the day in UTC, the model's name, or the id of the agent or the user; None for turns that have none: no
    model was asked, no agent, a guest asked. `label` is the agent's name or the user's address, where they are known.
    """

    key: str | None
    label: str | None


@dataclass(frozen=True, slots=True)
class Used:
    """All turns of a time, and the groups they fall into: days in their order, others with most turns first.

    `groups_left_out` is how many there are beyond `MOST_GROUPS`.
    """

    totals: Sums
    groups: tuple[Group, ...]
    groups_left_out: int


async def of_user(
    connection: Connection, *, team_id: UUID, user_id: UUID, since: datetime, until: datetime, group: GroupedBy
) -> Used:
    """Sum the turns of a user from `since` to before `until`."""
    parameters = {"team_id": team_id, "user_id": user_id, "since": since, "until": until}
    return await _sum(connection, _OF_USER[group], parameters)


async def of_team(connection: Connection, *, team_id: UUID, since: datetime, until: datetime, group: GroupedBy) -> Used:
    """Sum the turns of a team, its guests' among them, from `since` to before `until`."""
    return await _sum(connection, _OF_TEAM[group], {"team_id": team_id, "since": since, "until": until})


async def _sum(connection: Connection, statement: TextClause, parameters: Mapping[str, object]) -> Used:
    rows = (await connection.execute(statement, {**parameters, "rows": MOST_GROUPS + 1})).all()
    whole, *groups = rows
    return Used(
        Sums(*whole[3:]),
        tuple(Group(*row[3:], key=row.key, label=row.label) for row in groups),
        whole.groups - len(groups),
    )


# Constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_KEY: Final[dict[GroupedBy, str]] = {
    "day": "CAST(created_at AT TIME ZONE 'UTC' AS date)",
    "model": "model",
    "agent": "agent_id",
    "user": "user_id",
}
_LABEL: Final[dict[GroupedBy, str]] = {"agent": "agents.name", "user": "users.email"}
_BESIDE: Final[dict[GroupedBy, str]] = {
    "agent": "LEFT JOIN agents ON agents.id = summed.key AND agents.team_id = :team_id",
    "user": "LEFT JOIN users ON users.id = summed.key AND users.team_id = :team_id",
}


def _statement(group: GroupedBy, whose: str) -> TextClause:
    """Return a statement whose first row is the whole. What was had elsewhere (`internal-save`) is no turn of ours."""
    return text(f"""
        WITH summed AS (
            SELECT key, GROUPING(key) AS whole, count(*) AS turns,
                coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
                CAST(CAST(coalesce(sum(cost_usd), 0) AS numeric(24, 8)) AS text) AS cost_usd,
                count(*) - count(cost_usd) AS turns_without_cost
            FROM (
                SELECT {_KEY[group]} AS key, input_tokens, output_tokens, cost_usd FROM interaction_logs
                WHERE team_id = :team_id {whose} AND total_ms IS NOT NULL
                    AND created_at >= :since AND created_at < :until
            ) AS turn
            GROUP BY GROUPING SETS ((), (key))
        )
        SELECT CAST(key AS text) AS key, {_LABEL.get(group, "CAST(NULL AS text)")} AS label,
            count(*) OVER () - 1 AS groups, turns, input_tokens, output_tokens, cost_usd, turns_without_cost
        FROM summed {_BESIDE.get(group, "")}
        ORDER BY whole DESC, {"" if group == "day" else "turns DESC,"} key LIMIT :rows
    """)  # noqa: S608


_OF_USER: Final = {group: _statement(group, "AND user_id = :user_id") for group in _KEY}
_OF_TEAM: Final = {group: _statement(group, "") for group in _KEY}
