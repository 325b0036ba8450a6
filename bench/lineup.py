"""Who is compared in `bench/streams.py`: each relay a process of its own, on one core, and the model itself."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

import msgspec
import psycopg

from bench import litellm
from bench.askers import QUESTION, SECRET, askers, askers_of_usual
from bench.load import Asked, Figures, Request
from bench.model import CHUNKS, PACE
from bench.processes import free_port, pinned
from local.child import ROOT

MOST: Final = 200
"""Streams at once, at most."""
SECONDS: Final = 2.0
"""How long is counted each time: two answers' length."""
LOAD_CORE, RELAY_CORE = (*sorted(os.sched_getaffinity(0)), 0)[:2]

DIRECT: Final = "the model itself"
HTTPX: Final = "httpx byte relay"
AIOHTTP: Final = "aiohttp byte relay"
STARLETTE: Final = "Starlette + aiohttp byte relay"
USUAL: Final = "FastAPI + ORM + openai SDK"
LITELLM: Final = "LiteLLM proxy"
PARLEY: Final = "Parley"
WEBHOOK: Final = "Parley, n8n's webhook"
GEMINI: Final = "Parley, Gemini"

DONE: Final = b"data: [DONE]"


@dataclass(frozen=True)
class Relay:
    """Who is asked.

    Attributes:
        name: what it is called in the tables.
        url: where it is.
        process: its id; None for the model itself.
        requests: one for each stream.
        end: what an answer's last bytes hold.
        repeats: how many tokens its end says again.
        at_once: with how many streams it is measured.
        rounds: in how many rounds at most.
    """

    name: str
    url: str
    process: int | None
    requests: Sequence[Request]
    end: bytes = DONE
    repeats: int = 0
    at_once: Sequence[int] = (1, 10, 50, 200)
    rounds: int = 1000


def ask(relay: Relay, at_once: int, *, seconds: float = SECONDS, watch: Sequence[int] = ()) -> Figures:
    """Ask a relay with so many streams at once, and return what was seen.

    Args:
        relay: who is asked.
        at_once: streams; their beginnings are spread evenly over an answer's length, as those of strangers are.
        seconds: how long is counted.
        watch: processes whose time is told after that of the relay.
    """
    asked = Asked(
        url=relay.url,
        requests=list(relay.requests[:at_once]),
        tokens=CHUNKS,
        end=relay.end,
        repeats=relay.repeats,
        spread=CHUNKS * PACE / 1000 * (1 - 1 / at_once),
        seconds=seconds,
        watch=[relay.process or os.getpid(), *watch],
    )
    with asking(asked) as load:
        return figures_of(load)


@contextmanager
def asking(asked: Asked) -> Generator["subprocess.Popen[bytes]"]:
    """Start the load of `bench/load.py`; it ends with the block, if not by itself."""
    command = [sys.executable, "-m", "bench.load"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as load:
        try:
            stdin = cast("IO[bytes]", load.stdin)
            stdin.write(msgspec.json.encode(asked))
            stdin.close()
            yield load
        finally:
            load.kill()


def figures_of(load: "subprocess.Popen[bytes]") -> Figures:
    """Wait for a load's end, and return what it saw."""
    return msgspec.json.decode(cast("IO[bytes]", load.stdout).read(), type=Figures)


@dataclass(frozen=True)
class Starter:
    """Starts relays.

    Attributes:
        stack: ends them.
        folder: where they run, and where their logs are.
        model: the model's URL.
    """

    stack: ExitStack
    folder: Path
    model: str

    def run(self, *command: str, **environment: str) -> tuple[str, int]:
        """Start a program that is told its port as `{port}`, and return its URL and its process."""
        port = free_port()
        told = [word.format(port=port) for word in command]
        running = pinned(told, core=RELAY_CORE, folder=self.folder, port=port, UPSTREAM=self.model, **environment)
        return self.stack.enter_context(running)

    def app(self, name: str, **environment: str) -> tuple[str, int]:
        """Start an ASGI app."""
        command = [sys.executable, "-m", "uvicorn", name, "--loop", "asyncio", "--http", "httptools"]
        return self.run(*command, "--port", "{port}", **environment)

    def parley(self, database_url: str, **environment: str) -> tuple[str, int]:
        """Start our function: production, with a spool, and everything else as it is by default."""
        ours = {
            "ENVIRONMENT": "production",
            "DATABASE_URL": database_url,
            "OPENAI_API_KEY": SECRET,
            "OPENAI_BASE_URL": f"{self.model}/v1",
            "JWT_SECRET_KEY": SECRET,
            "ALLOWED_ORIGINS": "https://chat.example.com",
            "RATE_LIMITS": "chat=1000000",  # counted as ever, and never reached
            "SPOOL_URL": str(self.folder / "spool"),
            "TITLE_MODEL": "off",
        }
        return self.app("api.chat.stream:app", **ours | environment)


def parley(starter: Starter, database_url: str) -> Relay:
    """Start our function on the OpenAI path, and return it with its askers."""
    url, process = starter.parley(database_url)
    return Relay(PARLEY, url, process, asyncio.run(askers(database_url, MOST)), b'"saved":true', CHUNKS)


@contextmanager
def lineup(folder: Path, database_url: str, model: str) -> Generator[list[Relay]]:
    """Start everybody, and yield them, the model itself first."""
    plain = _plain()
    with ExitStack() as stack:
        starter = Starter(stack, folder, model)
        found = [
            Relay(DIRECT, model, None, plain),
            Relay(HTTPX, *starter.app("bench.relays.httpx_relay:app"), plain),
            Relay(AIOHTTP, *starter.run(sys.executable, "-m", "bench.relays.aiohttp_relay", "{port}"), plain),
            Relay(STARLETTE, *starter.app("bench.relays.starlette_relay:app"), plain, at_once=(10, 50)),
            parley(starter, database_url),
            *_other_paths(starter, database_url),
            _usual(starter, database_url),
        ]
        if proxy := litellm.program():
            found.append(_litellm(starter, proxy, plain))
        yield found


def _plain() -> list[Request]:
    body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    return [Request("/v1/chat/completions", json.dumps(body).encode())] * MOST


def _other_paths(starter: Starter, database_url: str) -> list[Relay]:
    """Start our function for an agent's webhook, and for Gemini."""
    hook, hook_process = starter.parley(database_url, WEBHOOK_ALLOWED_HOSTS="127.0.0.1")
    google: Mapping[str, str] = {
        "PROVIDERS": "gemini",
        "GEMINI_API_KEY": SECRET,
        "GOOGLE_GEMINI_BASE_URL": starter.model,
    }
    gemini, gemini_process = starter.parley(database_url, **google)
    workflow = asyncio.run(askers(database_url, 50, webhook=f"{starter.model}/webhook/support"))
    saved: bytes = b'"saved":true'
    return [
        Relay(WEBHOOK, hook, hook_process, workflow, saved, CHUNKS, at_once=(50,)),
        Relay(GEMINI, gemini, gemini_process, asyncio.run(askers(database_url, 50)), saved, CHUNKS, at_once=(50,)),
    ]


def _usual(starter: Starter, database_url: str) -> Relay:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE usual")
    own = database_url.replace("/postgres?", "/usual?")
    orm = own.replace("postgresql://", "postgresql+psycopg://")
    url, process = starter.app("bench.relays.usual:app", DATABASE=orm, SECRET=SECRET)
    return Relay(USUAL, url, process, askers_of_usual(own, MOST), b'"saved": true', at_once=(1, 10, 50), rounds=2)


def _litellm(starter: Starter, program: Path, plain: list[Request]) -> Relay:
    config = str(ROOT / "bench" / "relays" / "litellm.yaml")
    url, process = starter.run(
        *(str(program), "--config", config, "--host", "127.0.0.1", "--port", "{port}", "--telemetry", "False"),
        UPSTREAM_V1=f"{starter.model}/v1",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_MASTER_KEY=f"sk-{SECRET}",
    )
    asking = [Request(one.path, one.body, {"Authorization": f"Bearer sk-{SECRET}"}) for one in plain]
    return Relay(LITELLM, url, process, asking, at_once=(1, 10, 50), rounds=1)
