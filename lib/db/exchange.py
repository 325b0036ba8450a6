"""One exchange with a server: statements that go together, and what it says to each, in one round trip.

It is libpq's pipeline mode, by psycopg's wrapper of libpq and its generators
(https://www.postgresql.org/docs/current/libpq-pipeline-mode.html). psycopg's own pipeline does the same with a cursor
for each statement, and waits for the socket at each step, which takes twice the processor time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from secrets import token_hex
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import errors
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

PREPARED: Final = 1
"""Times a statement is sent before it is prepared: many come once."""
MOST_PREPARED: Final = 100
"""Statements that a connection has prepared, at most."""

Asked = tuple[bytes, Sequence[Any]]
"""A statement as it goes to the server, with `$1` for a parameter, and the parameters."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a server says to a statement: its columns' names, its rows, and how many rows it returned or touched."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    rowcount: int


class _Kind(NamedTuple):
    """A statement and the types of its parameters: what a server prepares."""

    sql: bytes
    types: tuple[int, ...]


class _Question(NamedTuple):
    """A statement as libpq sends it; `name` is what it is prepared as, or, if it `is_new`, about to be."""

    kind: _Kind
    values: Sequence[Buffer | None]
    formats: Sequence[Format] | None
    name: bytes | None
    is_new: bool


class Exchange:
    """Asks the server of one connection."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Begin with nothing prepared."""
        self._pgconn = connection.pgconn
        self._encoding = connection.info.encoding
        self._transformer = Transformer(connection)
        self._seen: dict[_Kind, int] = {}
        self._names: dict[_Kind, bytes] = {}
        self._columns_of: dict[bytes, tuple[str, ...]] = {}
        self._own = token_hex(8).encode()  # so that no other's name is taken for ours, wherever a pooler sends it
        self._numbers = count()

    def ask(self, *asked: Asked, prepares: bool) -> PQGen[list[Said | psycopg.Error]]:
        """Ask, and return what the server says to each statement: an error, too, after which it runs none of the rest.

        They are one transaction, unless they are in the middle of one.

        Args:
            asked: the statements.
            prepares: whether to have those prepared that come again and again.

        Raises:
            psycopg.Error: a parameter cannot be sent, or the connection is lost.
        """
        questions = [self._question(sql, parameters, prepares=prepares) for sql, parameters in asked]
        try:
            self._pgconn.enter_pipeline_mode()
            for question in questions:
                self._send(question)
            self._pgconn.pipeline_sync()
            yield from send(self._pgconn)
            results: list[PGresult] = []
            for question in questions:
                prepared = (yield from fetch_many(self._pgconn)) if question.is_new else []
                told = yield from fetch_many(self._pgconn)
                results += self._unless_refused(question, prepared) or told
            yield from fetch_many(self._pgconn)  # the end of the pipeline
            self._pgconn.exit_pipeline_mode()
        except BaseException:
            self._pgconn.finish()  # what it says next would be the answer to another question
            raise
        return [self._said(question, result) for question, result in zip(questions, results, strict=True)]

    def _question(self, sql: bytes, parameters: Sequence[Any], *, prepares: bool) -> _Question:
        values = self._transformer.dump_sequence(parameters, [PyFormat.AUTO] * len(parameters))
        kind = _Kind(sql, self._transformer.types or ())
        name = self._names.get(kind) if prepares else None
        is_new = name is None and self._is_due(kind) and prepares
        if is_new:
            name = b"parley_%b_%d" % (self._own, next(self._numbers))
        return _Question(kind, values, self._transformer.formats, name, is_new)

    def _is_due(self, kind: _Kind) -> bool:
        """Say whether to have a statement prepared that is not, and count how often it comes."""
        if len(self._names) >= MOST_PREPARED:
            return False
        if len(self._seen) >= MOST_PREPARED:
            self._seen.clear()
        self._seen[kind] = self._seen.get(kind, 0) + 1
        return self._seen[kind] > PREPARED and bool(self._seen.pop(kind))

    def _send(self, question: _Question) -> None:
        kind, values, formats, name, is_new = question
        if is_new and name is not None:
            self._pgconn.send_prepare(name, kind.sql, kind.types)
        if name is not None:
            self._pgconn.send_query_prepared(name, values, formats)
        else:
            self._pgconn.send_query_params(kind.sql, values, kind.types, formats)

    def _unless_refused(self, question: _Question, prepared: list[PGresult]) -> list[PGresult]:
        """Note what is prepared now; return why a statement is not, which is then what the server says to it."""
        refused = [result for result in prepared if result.status != ExecStatus.COMMAND_OK]
        if prepared and not refused and question.name is not None:
            self._names[question.kind] = question.name
        return refused

    def _said(self, question: _Question, result: PGresult) -> Said | psycopg.Error:
        match result.status:
            case ExecStatus.TUPLES_OK:
                self._transformer.set_pgresult(result)
                rows = self._transformer.load_rows(0, result.ntuples, tuple)
                self._transformer.set_pgresult(None)  # a connection may wait for long, and holds it
                return Said(self._columns(question, result), rows, result.ntuples)
            case ExecStatus.COMMAND_OK:
                return Said((), (), result.command_tuples or 0)
            case ExecStatus.PIPELINE_ABORTED:
                return psycopg.errors.PipelineAborted("a statement before it failed")
            case _:
                error = errors.error_from_result(result, encoding=self._encoding)
                if isinstance(error, _NO_LONGER_PREPARED):
                    self._names.pop(question.kind, None)
                return error

    def _columns(self, question: _Question, result: PGresult) -> tuple[str, ...]:
        found = question.name and self._columns_of.get(question.name)
        if not found:
            found = tuple((result.fname(at) or b"").decode(self._encoding) for at in range(result.nfields))
            if question.name:  # what is prepared has the same columns each time
                self._columns_of[question.name] = found
        return found


_NO_LONGER_PREPARED: Final = (errors.InvalidSqlStatementName, errors.FeatureNotSupported)
"""What a server says that has forgotten a statement, or whose tables have changed since it prepared it."""
