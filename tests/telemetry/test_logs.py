"""A line of the log, and who writes it on each platform."""

import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lib.telemetry.logs import JsonLine, gather, install, note, request_id
from tests.fixtures.served import served

ROOT = Path(__file__).resolve().parents[2]

LAMBDA = """
import logging, sys
from awslambdaric import bootstrap
bootstrap._setup_logging(bootstrap.LogFormat.{format}, "{level}", bootstrap.StandardLogSink())
sys.stdout, sys.stderr = bootstrap.Unbuffered(sys.stdout), bootstrap.Unbuffered(sys.stderr)
from lib.telemetry.logs import install
install("INFO")
logging.getLogger("parley.test").info("hello")
logging.getLogger("somebody.else").warning("careful")
"""

# What Vercel's runtime does before it imports a function: its handler sends the message alone, with its level, and
# everything on standard error as an error.
VERCEL = """
import logging, sys, types
runtime = types.ModuleType("vercel_runtime.vc_init")
exec('''
import logging
class VCLogHandler(logging.Handler):
    def emit(self, record):
        print(record.levelno, record.getMessage())
''', vars(runtime))
logging.basicConfig(level=logging.INFO, handlers=[runtime.VCLogHandler()], force=True)
from lib.telemetry.logs import install
install("INFO")
logging.getLogger("parley.test").info("hello")
try:
    raise ValueError("words")
except ValueError:
    logging.getLogger("parley.test").exception("broken")
"""


def line(record: logging.LogRecord, *, verbose: bool = False) -> dict[str, Any]:
    text = JsonLine(verbose=verbose).format(record)
    assert "\n" not in text
    return json.loads(text)


def record(message: str = "hello", *args: object, name: str = "parley.test", **more: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.INFO, __file__, 1, message, args, more.pop("exc_info", None))
    made.__dict__.update(more)
    return made


def raised(error: BaseException, cause: BaseException | None = None) -> Any:
    try:
        raise error from cause
    except BaseException:
        return sys.exc_info()


def run(script: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Run a script, and return the lines of its standard output, and those of its standard error, all JSON."""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines(), [json.loads(line) for line in done.stderr.splitlines()]


def test_a_line_says_when_what_and_by_whom() -> None:
    said = line(record("hello %s", "world", created=1_700_000_000.0625, facts={"status": 200}))
    assert said == {
        "time": "2023-11-14T22:13:20.062Z",
        "level": "INFO",
        "logger": "parley.test",
        "message": "hello world",
        "status": 200,
    }


def test_a_line_knows_its_request() -> None:
    token = request_id.set("my-request-0001")
    assert line(record())["request_id"] == "my-request-0001"
    request_id.reset(token)
    assert "request_id" not in line(record())


def test_an_exception_is_a_field_with_its_frames_and_without_its_words() -> None:
    info = raised(KeyError("my words"), cause=ValueError("other words"))
    said = line(record(exc_info=info))["exception"]
    assert said.splitlines()[0] == "builtins.ValueError"
    assert said.splitlines()[-1] == "builtins.KeyError"
    assert "test_logs.py" in said
    assert "raise error from cause" in said
    assert "words" not in said
    told = line(record(exc_info=info), verbose=True)["exception"]
    assert "KeyError: 'my words'" in told


def test_every_part_of_a_group_is_told_once_and_a_circle_ends() -> None:
    part = ValueError("words")
    part.__cause__ = part
    said = line(record(exc_info=raised(ExceptionGroup("words", [part, KeyError()]))))["exception"]
    assert said.splitlines()[-2:] == ["builtins.ValueError", "builtins.KeyError"]


def test_only_the_first_line_of_a_librarys_message_is_told() -> None:
    assert line(record("Task failed\nexception=ValueError('words')", name="asyncio"))["message"] == "Task failed"


def test_text_that_no_encoding_holds_is_a_line_all_the_same() -> None:
    assert line(record("half \ud83d of it"))["message"] == "half ? of it"


async def test_facts_are_kept_for_the_request_that_gathers_them_and_for_no_other() -> None:
    note(model="nobody listens")
    facts = gather()
    note(model="one", saved=True)
    assert facts == {"model": "one", "saved": True}


def test_a_line_that_cannot_be_made_is_said_to_be_missing() -> None:
    _, (said,) = run(
        'import logging\nfrom lib.telemetry.logs import install\ninstall("INFO")\nlogging.error("%d", "no number")'
    )
    assert said["message"] == "a line was not logged: <string>:4"


def test_what_somebody_else_put_on_the_root_logger_stays(caplog: pytest.LogCaptureFixture) -> None:
    install("INFO")
    logging.getLogger("parley.test").info("hello")
    assert caplog.messages == ["hello"]


@pytest.mark.parametrize(("form", "level"), [("TEXT", ""), ("JSON", ""), ("JSON", "WARN"), ("TEXT", "INFO")])
def test_on_lambda_each_line_comes_once_and_is_ours(form: str, level: str) -> None:
    stdout, lines = run(LAMBDA.format(format=form, level=level))
    assert stdout == []
    assert [(line["level"], line["message"]) for line in lines] == [("INFO", "hello"), ("WARNING", "careful")]


def test_on_vercel_a_line_keeps_its_level_and_comes_once() -> None:
    stdout, lines = run(VERCEL)
    assert lines == []
    told = [(int(line[:2]), json.loads(line[3:])) for line in stdout]
    assert [(level, line["message"]) for level, line in told] == [(20, "hello"), (40, "broken")]
    assert "ValueError" in told[1][1]["exception"]


async def test_a_websockets_query_is_in_no_line(tmp_path: Path) -> None:
    asks = "GET /api/v1/chat/stream?access_token=a-secret HTTP/1.1", "Host: x", "Connection: Upgrade"
    with_key = "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    async with served(tmp_path) as parley:
        reader, writer = await asyncio.open_connection(*parley.url.removeprefix("http://").split(":"))
        writer.write("\r\n".join([*asks, *with_key, "", ""]).encode())
        assert b" 403 " in await reader.readline()
        writer.close()
    assert "a-secret" not in parley.stdout + parley.stderr


async def test_under_uvicorn_all_that_is_logged_is_ours_and_the_access_log_is_off(tmp_path: Path) -> None:
    async with served(tmp_path) as parley:
        reader, writer = await asyncio.open_connection(*parley.url.removeprefix("http://").split(":"))
        writer.write(b"GET /health/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()
    assert parley.stdout == ""
    assert {line["logger"] for line in parley.lines} == {"uvicorn.error", "parley.requests"}
    assert len(parley.requests) == 1
