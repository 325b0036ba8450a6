"""How Postgres goes about a statement: its plan, and what was read along it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.adapt import PyFormat, Transformer
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect as numbered

from lib.db.session import Connection

PREPARED: Final = "explained"


@dataclass
class Explaining:
    """A connection that has each statement explained before it runs.

    Attributes:
        connection: it.
        generic: whether the plan is the one for any parameters, which Postgres may take from the sixth time on that a
            prepared statement runs; else it is made for these.
        plans: the statements' plans, in the order in which they ran.
    """

    connection: Connection
    generic: bool = False
    plans: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def execute(
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None, *, last: bool = False
    ) -> Any:
        """Explain a statement by what it does, take that back, and run it."""
        bare = self.connection.without_preface()
        await bare.execute(text("BEGIN"))
        if self.generic:
            prepare, execute = _prepared(statement, parameters or {})
            await bare.execute(_literally(prepare))
            await bare.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
            statement_of_plan, given = _literally(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute}"), None
        else:
            statement_of_plan = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}")
            given = parameters
        ((plan,),) = (await self.connection.execute(statement_of_plan, given)).all()
        await bare.execute(text("ROLLBACK"))
        if self.generic:
            await bare.execute(text(f"DEALLOCATE {PREPARED}"))
        self.plans.append(plan[0]["Plan"])
        return await self.connection.execute(statement, parameters, last=last)

    def nodes(self) -> Iterator[dict[str, Any]]:
        """Yield every step of the plans."""
        waiting = list(self.plans)
        while waiting:
            node = waiting.pop()
            waiting += node.get("Plans", [])
            yield node

    def visited(self, *tables: str) -> int:
        """Return how many rows of these tables were looked at, those that did not fit too."""
        return sum(
            round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
            for node in self.nodes()
            if node.get("Relation Name") in tables
        )

    @property
    def blocks(self) -> int:
        """How many blocks of 8 KB were looked at, those of indexes too."""
        return sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in self.plans)

    def walked(self) -> set[str]:
        """Return the tables that were read from end to end."""
        return {node["Relation Name"] for node in self._used() if node["Node Type"] == "Seq Scan"}

    def indexes(self) -> set[str]:
        """Return the indexes that were used."""
        return {node["Index Name"] for node in self._used() if "Index Name" in node}

    def _used(self) -> Iterator[dict[str, Any]]:
        return (node for node in self.nodes() if node["Actual Loops"])


def _literally(statement: str) -> Any:
    """Return a statement without parameters, whatever signs are in it."""
    return text(statement.replace(":", r"\:")).execution_options(no_parameters=True)


def _prepared(statement: TextClause, parameters: Mapping[str, Any]) -> tuple[str, str]:
    """Return what prepares a statement, with the types that the driver gives its parameters, and what executes it."""
    compiled = statement.compile(dialect=numbered())
    given = [parameters[name] for name in compiled.positiontup or ()]
    types = ", ".join(map(_type, given))
    values = ", ".join(sql.Literal(value).as_string() for value in given)
    return f"PREPARE {PREPARED} ({types}) AS {compiled}", f"EXECUTE {PREPARED} ({values})"


def _type(value: object) -> str:
    """Return the type that the driver says a parameter is of."""
    oid = Transformer().get_dumper(value, PyFormat.AUTO).oid
    found = psycopg.postgres.types.get(oid)
    if found is None:
        return "unknown"
    return f"{found.regtype}[]" if oid == found.array_oid else found.regtype
