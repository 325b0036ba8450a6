"""`vercel dev --local` serves the same tree by the same table."""

from pathlib import Path

import httpx
import pytest

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Script
from tests.fixtures.web import frames, question
from tests.platforms.vercel.build import copy_tracked_files
from tests.platforms.vercel.conftest import production
from tests.platforms.vercel.dev import developing

BUILDS_WITHIN = 300.0
"""Seconds for an answer: the CLI builds a function when it is first asked."""


@pytest.fixture
def tree(folder: Path) -> Path:
    copy_tracked_files(folder / "dev")
    return folder / "dev"


async def test_the_command_lines_own_server_answers_and_streams(
    tree: Path, folder: Path, database_url: str, openai_double: OpenAIServer
) -> None:
    openai_double.play(Script.saying("One two three"))
    variables = production(database_url, openai_double.base_url)
    async with (
        developing(tree, folder, variables) as url,
        httpx.AsyncClient(base_url=url, timeout=BUILDS_WITHIN) as client,
    ):
        assert (await client.get("/health/")).json()["status"] == "ok"
        streamed = await client.post("/api/v1/chat/stream", json=question("Count"))
        assert (await client.get("/no/such/path")).status_code == 404
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *partial, last = frames(streamed.text)
    assert "".join(frame["content"] for frame in partial) == last["content"] == "One two three"
    assert (last["status"], last["saved"]) == ("success", True)
