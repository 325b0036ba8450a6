"""Logs: every line is one JSON object on standard error, tied to its request, and silent about what anybody wrote.

python-json-logger would do the same; importing it costs more than all of this (`docs/logs-and-traces.md`).
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypedDict, Unpack, cast
from uuid import UUID

import msgspec

from lib.telemetry.tracing import trace_id

NO_REQUEST: Final = "-"

request_id: ContextVar[str] = ContextVar("request_id", default=NO_REQUEST)
"""The id of the request under way."""

_facts: ContextVar[dict[str, Any] | None] = ContextVar("facts", default=None)
_PLATFORMS: Final = {"awslambdaric", "vercel_runtime", "logging"}
"""Whose handlers ours replaces. Anybody else's, such as an error tracker's, stay."""

_encoder = msgspec.json.Encoder(enc_hook=str)


class Facts(TypedDict, total=False):
    """What the line of a request may say besides its end: ids, names of ours and counts. Nothing that anybody wrote.

    A guest's conversation belongs to whoever holds its id, so that id is a secret, and not among these.
    """

    user_id: UUID | None
    team_id: UUID | None
    message_id: UUID | None
    error: str | None
    outcome: str | None
    saved: bool | None
    spooled: bool | None
    retrieval: str | None
    model: str | None
    first_token_ms: int | None
    input_tokens: int | None
    output_tokens: int | None


def gather() -> dict[str, Any]:
    """Begin to gather facts for the line of the request that starts here, and return where they will be."""
    facts: dict[str, Any] = {}
    _facts.set(facts)
    return facts


def note(**facts: Unpack[Facts]) -> None:
    """Have the line of the request under way say this too. Where no line will be written, it does nothing."""
    if (gathered := _facts.get()) is not None:
        gathered.update(facts)


class JsonLine(logging.Formatter):
    """Writes a record as one line of JSON: time, level, logger, message, request, the record's `facts`, exception.

    Args:
        verbose: also the words of exceptions, and every line of a library's message. Both may quote what people wrote
            and what they keep secret, so it is for `LOG_LEVEL=DEBUG` alone.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        super().__init__()
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": _moment(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": self._message(record),
        }
        if (own := request_id.get()) != NO_REQUEST:
            line["request_id"] = own
        if trace := trace_id():
            line["trace_id"] = trace
        line |= record.__dict__.get("facts", {})
        if record.exc_info and (error := record.exc_info[1]):
            words = traceback.format_exception(error) if self._verbose else _without_words(error, set())
            line["exception"] = "".join(words).rstrip()
        return _json(line)

    def _message(self, record: logging.LogRecord) -> str:
        """Return the message; of a library's own only the first line, since asyncio's next ones quote the exception."""
        message = record.getMessage()
        return message if self._verbose or record.name.startswith("parley") else message.partition("\n")[0]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _json(line: dict[str, Any]) -> str:
    try:
        return _encoder.encode(line).decode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON from outside may hold
        clean = {key: str(value).encode(errors="replace").decode() for key, value in line.items()}
        return _encoder.encode(clean).decode()


def _without_words(error: BaseException, told: set[int]) -> Iterator[str]:
    """Yield the traceback without what the exceptions say: Postgres quotes the row it refuses, and others do alike."""
    if id(error) in told:
        return
    told.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before:
        yield from _without_words(before, told)
        yield "which led to\n"
    yield from traceback.format_tb(error.__traceback__)
    state = getattr(error, "sqlstate", None)
    yield f"{type(error).__module__}.{type(error).__qualname__}{f' {state}' if state else ''}\n"
    if isinstance(error, BaseExceptionGroup):
        for part in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _without_words(part, told)


def _tells_no_raw_path(record: logging.LogRecord) -> bool:
    """Tell whether a record is to be written: uvicorn notes each WebSocket's path and query, at INFO."""
    return record.levelno >= logging.WARNING or "/uvicorn/protocols/" not in record.pathname


class _Lines(logging.Handler):
    """Writes to standard error; or through the handler of Vercel, which shows all of standard error as an error."""

    def __init__(self, vercel: logging.Handler | None) -> None:
        super().__init__()
        self._vercel = vercel
        self.addFilter(_tells_no_raw_path)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # a message whose arguments do not fit, say
            where = f"{record.pathname}:{record.lineno}"
            line = _json({"level": "ERROR", "logger": "parley.logs", "message": f"a line was not logged: {where}"})
        if self._vercel:
            self._vercel.emit(logging.makeLogRecord({"msg": line, "levelno": record.levelno}))
            return
        with suppress(OSError, ValueError):  # nobody listens any more
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def install(level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]) -> None:
    """Make all of this process log such lines, from `level` on. It may be called again, with another level.

    A library is heard from WARNING on. uvicorn's lines become ours, and its access log, which tells raw paths and
    queries, is off: there is a line for each request anyway.
    """
    root = logging.getLogger()
    lines = next((handler for handler in root.handlers if isinstance(handler, _Lines)), None)
    if lines is None:
        named = {handler: type(handler).__module__.partition(".")[0] for handler in root.handlers}
        lines = _Lines(next((handler for handler, name in named.items() if name == "vercel_runtime"), None))
        root.handlers = [lines, *(handler for handler, name in named.items() if name not in _PLATFORMS)]
        root.setLevel(logging.WARNING)
        logging.captureWarnings(capture=True)
    lines.setFormatter(JsonLine(verbose=level == "DEBUG"))
    lines.setLevel(level)
    logging.getLogger("parley").setLevel(level)
    for name, heard in (("uvicorn", True), ("uvicorn.access", False)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], heard
