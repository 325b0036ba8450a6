"""What a cold start costs: CPU and time to each function's first answer, against bare FastAPI + Mangum.

    make bench-cold

Each figure comes from a fresh process. Rounds take every case in turn, so that the ratios hold on a noisy machine;
the median counts. What a password's hash takes is left out: it is meant to take it. Postgres is real; the model, the
embeddings and the vector store are `bench/upstream.py`. Below it stands what a function weighs, unpacked.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table

from bench.bars import Bar
from bench.sizes import table as weights_table
from bench.sizes import weigh
from bench.upstream import upstream
from lib.auth.accounts import Registration, register
from lib.db.events import NO_CLIENT
from lib.settings import get_settings
from lib.web.instance import Instance
from local.child import ROOT
from local.postgres import postgres
from scripts.export import uv
from scripts.init_db import upgrade

ROUNDS: Final = int(os.environ.get("ROUNDS", "15"))
SECRET: Final = "a secret of the benchmark, long enough"  # noqa: S105
EMAIL: Final = "ada@example.com"
PASSWORD: Final = "a password of the benchmark"  # noqa: S105


@dataclass(frozen=True, eq=False)
class Case:
    """A first answer, and how many times bare FastAPI + Mangum's CPU it may cost."""

    name: str
    module: str
    request: Mapping[str, Any]
    bar: float | None


@dataclass(frozen=True)
class Start:
    """What one cold start took, in milliseconds."""

    cpu: float
    wall: float


def cases(token: str, user_id: str) -> list[Case]:
    """Return what is measured, the base first."""
    chat = {"method": "POST", "headers": {"authorization": f"Bearer {token}"}}
    question = {"message": {"content": "What does Parley keep?"}}
    login = {"email": EMAIL, "password": PASSWORD}
    save = {"user_id": user_id, "query": "What does Parley keep?", "response": "Every turn."}
    schedule = {"authorization": f"Bearer {SECRET}"}
    kept = {"method": "POST", "headers": {"x-internal-api-key": SECRET}}
    return [
        Case("bare FastAPI + Mangum", "bare", {"method": "GET", "path": "/"}, None),
        Case("health", "api.health", {"method": "GET", "path": "/health/"}, 1.5),
        Case("auth: log in, less the hash", "api.auth", {"method": "POST", "path": LOGIN, "body": login}, 2.5),
        Case("conversations: save", "api.conversations", kept | {"path": SAVE, "body": save}, 2.5),
        Case("jobs: reap", "api.jobs", {"method": "GET", "path": REAP, "headers": schedule}, 2.5),
        Case("chat: whole answer", "api.chat.index", chat | {"path": "/api/v1/chat", "body": question}, 2.5),
        Case(
            "chat/stream: first token",
            "api.chat.stream",
            chat | {"path": STREAM, "body": question, "streamed": True},
            3,
        ),
    ]


LOGIN: Final = "/api/v1/auth/login"
SAVE: Final = "/api/v1/conversations/internal-save"
REAP: Final = "/api/v1/jobs/reap"
STREAM: Final = "/api/v1/chat/stream"


def main() -> int:
    """Measure every case in `ROUNDS` rounds, print the table, and return 0 when every bar is met."""
    starts = _starts(ROUNDS)
    _print(starts)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        _pack(Path(folder))
        print(weights_table({"each": weigh(Path(folder), "packages")}))
    return 0 if all(bar.met for bar in _bars(starts)) else 1


def measure(rounds: int) -> list[Bar]:
    """Return the bars of each function's first answer, measured in so many rounds."""
    return _bars(_starts(rounds))


def _starts(rounds: int) -> dict[Case, list[Start]]:
    with tempfile.TemporaryDirectory(prefix="parley-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # root's Postgres runs as somebody else
        with postgres(Path(folder) / "postgres", fsync="off") as url:
            upgrade(url)
            return asyncio.run(_measure(url, rounds))


async def _measure(database_url: str, rounds: int) -> dict[Case, list[Start]]:
    """Start each case once in every round. The first round writes bytecode and does not count."""
    token, user_id = await _account(database_url)
    starts: dict[Case, list[Start]] = {case: [] for case in cases(token, str(user_id))}
    async with upstream() as services:
        environment = _environment(database_url, services)
        for number in range(rounds + 1):
            for case in starts:
                start = await _start(case, environment)
                if number:
                    starts[case].append(start)
    return starts


async def _account(url: str) -> tuple[str, UUID]:
    """Return an access token, and whose it is."""
    instance = Instance(get_settings(Path(os.devnull), DATABASE_URL=url, jwt_secret_key=SECRET))
    wanted = Registration(email=EMAIL, password=PASSWORD)
    made, _ = await register(instance.database, wanted, client=NO_CLIENT)
    tokens = await instance.sessions.begin(
        user_id=made.id,
        team_id=made.team_id,
        role=made.role,
        method="password",
        client=NO_CLIENT,
        password_hash=made.password_hash,
    )
    await instance.close()
    return tokens.access, made.id


def _environment(database_url: str, services: str) -> dict[str, str]:
    """Return a deployment's environment, and nothing of this machine's own."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "ENVIRONMENT": "production",
        "DATABASE_URL": database_url,
        "OPENAI_API_KEY": SECRET,
        "OPENAI_BASE_URL": services,
        "QDRANT_URL": services,
        "JWT_SECRET_KEY": SECRET,
        "INTERNAL_API_KEY": SECRET,
        "CRON_SECRET": SECRET,
        "ALLOWED_ORIGINS": "https://chat.example.com",
        "LOG_LEVEL": "INFO",
        "RATE_LIMITS": "login=1000",  # counted as ever; a fast machine logs in more than five times a minute
    }


async def _start(case: Case, environment: dict[str, str]) -> Start:
    began = time.time()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        ROOT / "bench" / "cold_child.py",
        case.module,
        json.dumps(case.request),
        cwd="/",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{case.name} failed:\n{errors.decode()}")
    took = json.loads(output.splitlines()[-1])
    return Start(took["cpu"] * 1000, (took["at"] - began) * 1000)


def _base(starts: dict[Case, list[Start]]) -> float:
    return median(start.cpu for start in next(iter(starts.values())))


def _bars(starts: dict[Case, list[Start]]) -> list[Bar]:
    base = _base(starts)
    return [
        Bar(
            f"cold start's CPU against bare FastAPI + Mangum, {case.name}",
            median(one.cpu for one in took) / base,
            case.bar,
        )
        for case, took in starts.items()
        if case.bar is not None
    ]


def _print(starts: dict[Case, list[Start]]) -> None:
    base = _base(starts)
    table = Table("", "CPU ms", "wall ms", "of bare's CPU", "bar", "", title=f"Cold starts, median of {ROUNDS}")
    for case, took in starts.items():
        cpu, wall = median(start.cpu for start in took), median(start.wall for start in took)
        holds = case.bar is None or cpu / base <= case.bar
        bar = ("", "") if case.bar is None else (f"{case.bar:g}", "met" if holds else "MISSED")
        table.add_row(case.name, f"{cpu:.0f}", f"{wall:.0f}", f"{cpu / base:.2f}", *bar)
    Console(width=120).print(table)


def _pack(folder: Path) -> None:
    """Lay out what every function carries, compiled: both clouds give each of them all packages of requirements.txt.

    Vercel adds what its own builder needs, 11 MB of pip in the main (`make vercel-check` weighs what it builds).
    """
    target = ["--target", str(folder / "packages"), "--python", sys.executable]
    subprocess.run(
        [uv(), "pip", "install", "--quiet", "--requirements", "requirements.txt", *target], cwd=ROOT, check=True
    )
    for room in ("api", "lib"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "0", str(folder)], check=True)


if __name__ == "__main__":
    sys.exit(main())
