import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from local.part import sole_use
from local.supervisor import ROOT
from tests.fixtures.postgres import open_folder

NOWHERE = "http://127.0.0.1:9"


def environment(data: Path, **more: str) -> dict[str, str]:
    """What `make dev` sees: this machine, and nothing that the developer has set for Parley."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "DATA_DIR": str(data), "PORT": "0"} | more


@contextmanager
def dev(data: Path, folder: Path, **more: str) -> Generator[tuple[subprocess.Popen[str], list[str]]]:
    """Run `make dev` and yield it with what it said, up to the line that says it is ready."""
    with subprocess.Popen(
        [sys.executable, "-m", "local.dev"],
        cwd=folder,
        env=environment(data, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        said: list[str] = []
        for line in process.stdout:
            said.append(line.strip())
            if line.startswith("ready "):
                break
        try:
            yield process, said
        finally:
            process.terminate()


def refusal(data: Path, folder: Path, **more: str) -> str:
    """Run `make dev` where it cannot, and return the one line that it says."""
    ran = subprocess.run(
        [sys.executable, "-m", "local.dev"],
        cwd=folder,
        env=environment(data, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("make dev: ")
    assert ran.stderr.count("\n") == 1
    return ran.stderr


def wait_until_gone(data: Path) -> None:
    """Return when nothing that was started holds `data` any more."""
    for folder in (data, data / "postgres"):
        with sole_use(folder, patience=10):
            pass


def ingest_beside(data: Path, folder: Path, name: str, text: str) -> None:
    """Bring a document into what a running `make dev` searches, as `make ingest` does."""
    (folder / name).write_text(text)
    subprocess.run(
        [sys.executable, "-m", "local.beside", ROOT / "scripts" / "ingest.py", name, "--quiet"],
        cwd=folder,
        env=environment(data),
        check=True,
        capture_output=True,
    )


def found_first(url: str, content: str) -> str:
    """Ask, and return the first source. The answer, which the small model takes long to begin, is not waited for."""
    path, question = "/api/v1/chat/stream?protocol=native", {"message": {"content": content}}
    with httpx.stream("POST", f"{url}{path}", json=question, timeout=120) as response:
        lines = response.iter_lines()
        assert "event: sources" in lines
        return next(json.loads(line[6:])["sources"][0]["uri"] for line in lines if line.startswith("data: "))


def test_one_command_serves_answers_from_the_documents_and_ctrl_c_ends_it_all(tmp_path: Path) -> None:
    with open_folder() as folder:
        data = folder / "data"
        with dev(data, tmp_path) as (process, said):
            word, url = said[-1].split()
            assert word == "ready"
            assert not [line for line in said if line.startswith("warning")]
            question = {"message": {"content": "What is Parley?"}}
            answer = httpx.post(f"{url}/api/v1/chat", json=question, timeout=120).json()["response"]
            assert answer["status"] == "success"
            assert answer["saved"] is True
            assert answer["content"]
            assert answer["sources"]
            assert "in use" in refusal(data, tmp_path, PORT="0")
            ingest_beside(data, tmp_path, "bees.md", "# Bees\n\nHoney bees dance to tell where flowers are.\n")
            assert found_first(url, "Why do honey bees dance?") == "bees.md"
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=20)
            assert (process.returncode, *rest) == (0, "", "")
        wait_until_gone(data)
        assert not (data / "local.env").exists()
        with dev(data, tmp_path) as (_, said):
            assert [line for line in said if line.startswith("documents")] == ["documents   unchanged"]
        wait_until_gone(data)


def test_what_the_environment_names_is_not_started(tmp_path: Path, empty_database_url: str) -> None:
    theirs = {"DATABASE_URL": empty_database_url, "QDRANT_URL": NOWHERE, "VLLM_ENDPOINT": f"{NOWHERE}/v1"}
    with dev(tmp_path / "data", tmp_path, **theirs) as (process, said):
        assert {line.split()[0] for line in said} == {"database", "schema", "api", "ready"}
        process.terminate()
        assert process.wait(20) == 0
    assert {log.name for log in (tmp_path / "data" / "logs").iterdir()} == {"schema.log", "api.log"}


def test_a_database_that_is_away_is_a_warning(tmp_path: Path) -> None:
    away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "QDRANT_URL": NOWHERE, "VLLM_ENDPOINT": NOWHERE}
    with dev(tmp_path / "data", tmp_path, **away) as (_, said):
        assert [line for line in said if line.startswith("warning     schema ended with exit code 1: ")]
        assert said[-1].startswith("ready ")


def test_nothing_runs_beside_what_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "local.env").write_text("QDRANT_URL=http://127.0.0.1:9\n")
    command = [sys.executable, "-m", "local.beside", "scripts/ingest.py", "docs"]
    ran = subprocess.run(command, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "`make dev` is not running; start it first.\n")


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"Port {port} cannot be used: Address already in use." in refusal(tmp_path, tmp_path, PORT=port)
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "PORT is 'http'" in refusal(tmp_path, tmp_path, PORT="http")


def test_a_file_in_place_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    refusal(tmp_path / "data", tmp_path)


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    assert "PROVIDERS" in refusal(tmp_path, tmp_path, PROVIDERS="openai")
