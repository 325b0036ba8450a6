"""Whose rows a report may count."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Scope:
    """The team of this administrator, or with no `user_id` the whole deployment."""

    team_id: UUID | None
    user_id: UUID | None

    @property
    def parameters(self) -> dict[str, Any]:
        """What `SCOPE` takes."""
        return {"everything": self.user_id is None, "team_id": self.team_id, "admin_id": self.user_id}


DEPLOYMENT: Final = Scope(None, None)

SCOPE: Final = """
    scope AS MATERIALIZED (
        SELECT teams.id FROM teams
        WHERE :everything OR (teams.id = :team_id AND teams.is_active AND EXISTS (
            SELECT FROM users WHERE users.id = :admin_id AND users.team_id = teams.id
                AND users.role = 'admin' AND users.is_active
        ))
    )
"""
"""A `WITH` item of the teams in scope: none when the one who asks is no administrator any more."""

IN_SCOPE: Final = "team_id = ANY (ARRAY(SELECT id FROM scope))"
"""The rows of those teams. An array, since an index on `team_id` and more is then used for one team and for all."""
