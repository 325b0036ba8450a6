"""One build for all tests, and functions of it at work."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from bench.sizes import table, weigh
from tests.doubles.openai_server import OpenAIServer
from tests.fixtures.web import INTERNAL_KEY, JWT_KEY
from tests.platforms.vercel.build import Output, build, copy_tracked_files
from tests.platforms.vercel.process import Running, running
from tests.platforms.vercel.routes import function_of

LAPTOP_SECRET = "a-secret-that-lies-about-on-a-laptop"
LAPTOP_FILES = (
    ".env",
    ".env.production",
    ".data/secrets/jwt_secret_key",
    ".tools/bin/uv",
    ".lambda/lib.py",
    "notes.txt",
)
"""What a laptop's clone holds besides what git tracks."""

_sizes = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def folder() -> Generator[Path]:
    """A folder that is gone after the tests; on one disk, since functions are made of links."""
    made = Path(tempfile.mkdtemp(prefix="parley-vercel-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def output(folder: Path, request: pytest.FixtureRequest) -> Output:
    """What `vercel build` makes of the working tree, with a laptop's own files lying about in it."""
    tree = folder / "tree"
    copy_tracked_files(tree)
    for name in LAPTOP_FILES:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"JWT_SECRET_KEY={LAPTOP_SECRET}\n")
    built = build(tree, folder, folder / "functions")
    weights = {name: weigh(function.folder, "_vendor") for name, function in built.functions.items()}
    request.config.stash[_sizes] = table(weights)
    return built


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what the functions weigh."""
    if _sizes in config.stash:
        terminalreporter.section("Vercel functions, unpacked")
        terminalreporter.write_line(config.stash[_sizes])


def production(database_url: str, openai_base_url: str) -> dict[str, str]:
    """Return the variables of a deployment in production."""
    return {
        "VERCEL": "1",
        "VERCEL_ENV": "production",
        "DATABASE_URL": database_url,
        "JWT_SECRET_KEY": JWT_KEY,
        "INTERNAL_API_KEY": INTERNAL_KEY,
        "RATE_LIMITS": "register=1000",  # what no client should send counts, too, and all comes from one address
        "OPENAI_API_KEY": "key",
        "OPENAI_BASE_URL": openai_base_url,
        "CHAT_MODEL": "double-1",
        "GUEST_CHAT": "true",
    }


class Start(Protocol):
    """Starts the function that answers for a path, with more variables or other ones."""

    async def __call__(self, path: str, **variables: str) -> Running: ...


@pytest.fixture
async def start(output: Output, database_url: str, openai_double: OpenAIServer) -> AsyncGenerator[Start]:
    """Start as many functions as a test wants, with the scripted model; all end with it."""
    async with AsyncExitStack() as stack:

        async def start(path: str, **variables: str) -> Running:
            function = output.functions[function_of(output.config, path)]
            everything = production(database_url, openai_double.base_url) | variables
            return await stack.enter_async_context(running(function, everything))

        yield start


@pytest.fixture(scope="session")
async def warm(output: Output, database_url: str) -> AsyncGenerator[Start]:
    """Start each function once for all tests that ask no model; there is none."""
    started: dict[str, Running] = {}
    async with AsyncExitStack() as stack:

        async def start(path: str, **variables: str) -> Running:
            assert not variables
            name = function_of(output.config, path)
            if name not in started:
                everything = production(database_url, "http://127.0.0.1:9/v1")
                started[name] = await stack.enter_async_context(running(output.functions[name], everything))
            return started[name]

        yield start
