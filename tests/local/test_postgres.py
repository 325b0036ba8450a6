import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import local.postgres
from local.part import PartFailed, sole_use
from local.postgres import postgres

AS_NOBODY = """
import encodings.idna, os, pwd, sys
import psycopg
from pathlib import Path
from local.postgres import postgres
nobody = pwd.getpwnam("nobody")
os.setgroups([]); os.setgid(nobody.pw_gid); os.setuid(nobody.pw_uid)
with postgres(Path(sys.argv[1])) as url, psycopg.connect(url) as connection:
    print(connection.execute("SELECT 'served'").fetchone()[0])
"""


@contextmanager
def part(folder: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run the server as `make dev` does, and yield its process and URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "local.postgres", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        word, _, url = process.stdout.readline().strip().partition(" ")
        assert word == "ready"
        yield process, url


def server_pid(url: str, folder: Path) -> int:
    """Return the server's process, as it says itself."""
    with psycopg.connect(url):
        return int((folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def wait_until_gone(folder: Path) -> None:
    """Return when no process of a server holds `folder` any more."""
    with sole_use(folder, patience=10):
        pass


def test_what_was_committed_is_there_after_a_restart(stopped_server: Path) -> None:
    with postgres(stopped_server, fsync="off") as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    with postgres(stopped_server, fsync="off") as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_it_is_utf8_in_utc_like_neon_whatever_the_machine_says(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        told = connection.execute("SELECT current_setting('server_encoding'), current_setting('TimeZone')").fetchone()
    assert told == ("UTF8", "UTC")


def test_it_listens_on_no_port(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_the_port_in_our_environment_does_not_lead_astray(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    psycopg.connect(database_url).close()


def test_a_killed_server_starts_again_with_what_was_committed(stopped_server: Path) -> None:
    with part(stopped_server) as (process, url):
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        os.kill(server_pid(url, stopped_server), signal.SIGKILL)
        assert process.wait(10) == 1
        assert process.stderr
        assert process.stderr.read() == "Postgres ended by itself (exit code -9).\n"
    assert (stopped_server / "cluster" / "postmaster.pid").exists()
    with postgres(stopped_server) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_a_stale_pid_file_that_names_a_living_process_is_no_hindrance(stopped_server: Path) -> None:
    (stopped_server / "cluster" / "postmaster.pid").write_text(f"{os.getppid()}\n")
    with postgres(stopped_server, fsync="off") as url:
        psycopg.connect(url).close()


def test_the_part_ends_with_its_standard_input_and_its_server_with_it(stopped_server: Path) -> None:
    with part(stopped_server) as (process, _):
        assert process.stdin
        process.stdin.close()
        assert process.wait(10) == 0
    wait_until_gone(stopped_server)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
def test_the_server_ends_when_its_part_is_killed(stopped_server: Path) -> None:
    with part(stopped_server) as (process, url):
        process.kill()
    wait_until_gone(stopped_server)
    Path(str(conninfo_to_dict(url)["host"])).rmdir()  # what only a whole ending removes


def test_a_folder_in_use_is_refused(server_folder: Path) -> None:
    server_folder.mkdir()
    with (
        sole_use(server_folder, patience=0),
        pytest.raises(PartFailed, match="is in use"),
        sole_use(server_folder, patience=0),
    ):
        pass


def test_a_folder_of_another_version_is_refused_in_postgres_own_words(stopped_server: Path) -> None:
    (stopped_server / "cluster" / "PG_VERSION").write_text("17\n")
    with pytest.raises(PartFailed, match=r"not start: .*incompatible with server: .*version 17, .*version 18"):
        postgres(stopped_server).__enter__()


def test_a_broken_folder_is_refused(stopped_server: Path) -> None:
    (stopped_server / "cluster" / "global" / "pg_control").unlink()
    with pytest.raises(PartFailed, match="Postgres did not start: "):
        postgres(stopped_server).__enter__()


def test_a_start_that_was_cut_short_is_begun_again(stopped_server: Path) -> None:
    (stopped_server / "cluster").rename(stopped_server / "draft")
    with postgres(stopped_server, fsync="off") as url:
        psycopg.connect(url).close()


def test_a_file_in_the_folder_s_place_is_refused(server_folder: Path) -> None:
    server_folder.touch()
    os.chown(server_folder, *local.postgres.owner())
    with pytest.raises(PartFailed, match=r"^Postgres cannot use .*: Not a directory\.$"):
        postgres(server_folder).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="a plain user cannot make a folder that is another's")
def test_a_folder_of_another_user_is_refused_and_left_alone(server_folder: Path) -> None:
    server_folder.mkdir()
    os.chown(server_folder, 12345, 12345)
    with pytest.raises(PartFailed, match="belongs to another user"):
        postgres(server_folder).__enter__()
    assert server_folder.stat().st_uid == 12345


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as someone else")
def test_a_closed_folder_above_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data = closed / "data" / "postgres"
    with postgres(data, fsync="off") as url:
        psycopg.connect(url).close()
    assert closed.stat().st_mode & 0o777 == 0o700
    assert data.is_symlink()
    shutil.rmtree(data.resolve())


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as a plain user already")
def test_a_plain_user_runs_a_server_too(server_folder: Path) -> None:
    server_folder.mkdir()
    server_folder.chmod(0o777)
    root = Path(local.postgres.__file__).parent.parent
    if not all(folder.stat().st_mode & 0o001 for folder in (root / ".venv", *(root / ".venv").parents)):
        pytest.skip(f"nobody cannot reach {root}")
    ran = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(server_folder / "postgres")],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("served\n", "")
