"""What all tables share."""

from typing import Final

from sqlalchemy import Column, DateTime, ForeignKey, MetaData, Uuid, text

HEAD: Final = "008"
"""The newest migration that this code knows. A database behind it lacks something; one ahead of it does not."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def created_at() -> Column[object]:
    """Return the column of when a row was made."""
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()"))


def team_id() -> Column[object]:
    """Return the column of whose a row is."""
    return Column("team_id", Uuid, ForeignKey("teams.id", ondelete="CASCADE"), nullable=False)


def now(name: str) -> Column[object]:
    """Return a column of a time that is, by default, now."""
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("now()"))


def of_user() -> tuple[Column[object], ...]:
    """Return what begins a table whose rows are a user's."""
    return (
        Column("id", Uuid, primary_key=True),
        team_id(),
        Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        created_at(),
    )
