"""`make dev`: whatever the environment does not name runs here, then every function on one port.

Everything it starts is a child that ends with it, even when it is killed (`local.part`). The API itself is told where
things are as in production, by its environment, and knows nothing of all this.
"""

import asyncio
import hashlib
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Coroutine, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from lib.settings import NO_TITLES, Settings, SettingsInvalid, get_settings
from local.model import ALIAS
from local.part import PartFailed, sole_use
from local.supervisor import ROOT, STOP_TIMEOUT, Supervisor, report, supervisor

DEFAULT_PORT: Final = "8000"
LEAST_SPACE: Final = 100
"""Megabytes that must be free in `DATA_DIR`: a new database takes 40, and none survives a full disk."""
EMBEDDING_MODEL: Final = "minilm-l6"
PATIENCE: Final = "120"
"""Seconds for a turn of the small model, which reads about a hundred tokens a second on a busy laptop."""

type Environment = dict[str, str]


async def _dev(settings: Settings, data: Path, held: int, listener: socket.socket) -> None:
    """Run everything until a signal."""
    _end_quietly_on_signals()
    async with supervisor(data, held) as parts:
        starting = [parts.soon(start(parts, settings, data)) for start in (_database, _qdrant, _embeddings, _model)]
        environment: Environment = {"DATA_DIR": str(data)}
        for started in starting:
            environment |= await started
        documents = parts.soon(_if_possible(_documents(parts, settings, data, environment)))
        url = await parts.start(
            "api", "-m", "local.api", str(listener.fileno()), hand_over=(listener.fileno(),), **environment
        )
        listener.close()
        await documents
        with _told(data, environment):
            print(f"ready {url}", flush=True)
            await asyncio.Event().wait()


@contextmanager
def _told(data: Path, environment: Environment) -> Generator[None]:
    """Keep the addresses of what runs here in `DATA_DIR`/local.env, for scripts that run beside it (`make ingest`)."""
    told = data / "local.env"
    told.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items()))
    try:
        yield
    finally:
        told.unlink(missing_ok=True)


def _end_quietly_on_signals() -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - we are in one

    def end() -> None:
        if not task.cancelling():
            task.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, end)


async def _database(parts: Supervisor, settings: Settings, data: Path) -> Environment:
    if settings.database_url is None:
        log = str(parts.log("postgres"))
        url = await parts.start("postgres", "-m", "local.postgres", str(data / "postgres"), log)
        await parts.run("schema", "scripts/init_db.py", DATABASE_URL=url)
        return {"DATABASE_URL": url}
    if settings.environment == "development":
        report("database", "yours, brought up to date since this is development")
        await _if_possible(parts.run("schema", "scripts/init_db.py"))
    else:
        report("database", "yours, left as it is: `python scripts/init_db.py` brings it up to date")
    return {}


async def _qdrant(parts: Supervisor, settings: Settings, data: Path) -> Environment:
    if settings.qdrant_url is not None:
        return {}
    return {"QDRANT_URL": await parts.start("qdrant", "-m", "local.qdrant", str(data / "qdrant"))}


async def _embeddings(parts: Supervisor, settings: Settings, _: Path) -> Environment:
    """Embed here what is searched here, whichever model answers: the index must not change with the model."""
    named = settings.embedding_base_url or settings.embedding_model
    if named or (settings.qdrant_url is not None and settings.configured_providers):
        return {}
    url = await parts.start("embeddings", "-m", "local.embeddings")
    return {"EMBEDDING_BASE_URL": f"{url}/v1", "EMBEDDING_MODEL": EMBEDDING_MODEL}


async def _model(parts: Supervisor, settings: Settings, _: Path) -> Environment:
    if settings.configured_providers:
        return {}
    environment = {"OPENAI_API_KEY": "local", "CHAT_MODEL": ALIAS, "TITLE_MODEL": NO_TITLES}
    if "agent_timeout" not in settings.model_fields_set:
        environment["AGENT_TIMEOUT"] = PATIENCE
    return environment | {"OPENAI_BASE_URL": await parts.start("model", "-m", "local.model")}


async def _documents(parts: Supervisor, settings: Settings, data: Path, environment: Environment) -> None:
    """Bring the demo book, this repository's own documents, into our own Qdrant; into nobody else's."""
    if settings.qdrant_url is not None:
        return
    mark, state = data / "qdrant" / "documents", _state_of_documents(settings, environment)
    if mark.exists() and mark.read_text() == state:
        report("documents", "unchanged")
        return
    await parts.run("documents", "scripts/ingest.py", "docs", "--quiet", **environment)
    mark.write_text(state)


def _state_of_documents(settings: Settings, environment: Environment) -> str:
    """Return a digest of all that the index of the demo book is made from."""
    made_from = [*ROOT.glob("docs/**/*"), *ROOT.glob("lib/rag/*.py"), ROOT / "scripts" / "ingest.py", ROOT / "uv.lock"]
    model = environment.get("EMBEDDING_MODEL") or settings.embedding_model
    state = hashlib.sha256(f"{settings.qdrant_collection} {model}".encode())
    for path in sorted(path for path in made_from if path.is_file()):
        state.update(f"{path.relative_to(ROOT)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return state.hexdigest()


async def _if_possible(work: Coroutine[Any, Any, None]) -> None:
    """Do what the API can serve without."""
    try:
        await work
    except PartFailed as error:
        report("warning", str(error))


def _listener(port: str) -> socket.socket:
    """Take the port. Whoever connects now is answered once the API is there."""
    if not port.isdecimal() or int(port) > 65535:
        raise PartFailed(f"PORT is {port!r}, which is not a port's number.")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", int(port)))
        listener.listen()  # from now on nobody else can, as after `bind` alone they could
    except OSError as error:
        listener.close()
        raise PartFailed(f"Port {port} cannot be used: {error.strerror}. Choose another with PORT=...") from error
    return listener


def _data(folder: Path) -> Path:
    """Return `DATA_DIR`, made if absent and fit for use."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        free = shutil.disk_usage(folder).free // 1_000_000
    except OSError as error:
        raise PartFailed(f"DATA_DIR {folder} cannot be used: {error.strerror}.") from error
    if free < LEAST_SPACE:
        raise PartFailed(f"DATA_DIR {folder} has {free} MB free, and needs {LEAST_SPACE}.")
    return folder.resolve()


def main() -> int:
    """Run the house and return the exit status: 0 when a signal ended it."""
    try:
        with ExitStack() as stack:
            listener = stack.enter_context(_listener(os.environ.get("PORT") or DEFAULT_PORT))
            settings = get_settings()
            data = _data(settings.data_dir)
            held = stack.enter_context(sole_use(data, patience=STOP_TIMEOUT))
            asyncio.run(_dev(settings, data, held, listener))
    except asyncio.CancelledError:
        return 0
    except (PartFailed, SettingsInvalid) as error:
        print(f"make dev: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
