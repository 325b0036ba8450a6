import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from local.part import PartFailed, sole_use
from local.supervisor import ROOT, supervisor

UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from local.part import sole_use
from local.supervisor import supervisor

async def main(data):
    with sole_use(data, patience=0) as held:
        async with supervisor(data, held) as parts:
            await parts.start("postgres", "-m", "local.postgres", str(data / "postgres"))
            parts.soon(parts.run("sleep", "-c", "import time; time.sleep(600)"))
            await asyncio.sleep(0)
            print("up", flush=True)
            await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def data(stopped_server: Path) -> Path:
    """A `DATA_DIR` whose database is made already."""
    return stopped_server.parent


def wait_until_gone(data: Path) -> None:
    """Return when no part and no server holds `data` any more."""
    for folder in (data, data / "postgres"):
        with sole_use(folder, patience=10):
            pass


async def test_everything_ends_with_the_block(data: Path) -> None:
    with sole_use(data, patience=0) as held:
        async with supervisor(data, held) as parts:
            await parts.start("postgres", "-m", "local.postgres", str(data / "postgres"))
    wait_until_gone(data)


async def test_a_part_that_ends_by_itself_ends_everything_and_is_named(data: Path) -> None:
    with (
        pytest.raises(
            PartFailed, match=r"^postgres ended with exit code 1: Postgres ended by itself \(.* -9\) \(see .*log"
        ),
        sole_use(data, patience=0) as held,
    ):
        async with supervisor(data, held) as parts:
            url = await parts.start("postgres", "-m", "local.postgres", str(data / "postgres"))
            with psycopg.connect(url):
                server = int((data / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()[0])
            os.kill(server, signal.SIGKILL)
            await asyncio.Event().wait()
    wait_until_gone(data)


async def test_a_part_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match=r"^postgres ended with exit code 1: Postgres cannot use .*: Not a directory"):
        async with supervisor(tmp_path, os.open(tmp_path, os.O_RDONLY)) as parts:
            (tmp_path / "file").touch()
            await parts.start("postgres", "-m", "local.postgres", str(tmp_path / "file" / "postgres"))


async def test_a_script_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match=r"^script ended with exit code 1: out of ink \(see .*script\.log\)\.$"):
        async with supervisor(tmp_path, os.open(tmp_path, os.O_RDONLY)) as parts:
            await parts.run("script", "-c", "import sys; sys.exit('a story\\nout of ink.')")


@pytest.mark.skipif(sys.platform != "linux", reason="a script outlives its killed parent elsewhere")
def test_nothing_outlives_a_supervisor_that_is_killed(data: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", UNTIL_KILLED, str(data)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readlines(1)[0].startswith("  postgres")
        assert process.stdout.readline() == "up\n"
        process.kill()
    wait_until_gone(data)
