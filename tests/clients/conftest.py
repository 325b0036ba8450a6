"""What the clients of the documents meet: a database that nobody has used, and the team that the document names."""

from collections.abc import AsyncGenerator

import pytest

from scripts.init_db import upgrade
from tests.clients.workflow import Workflow, working


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """A database of the test's own: the documents' accounts have fixed addresses."""
    upgrade(empty_database_url)
    return empty_database_url


@pytest.fixture
async def workflow() -> AsyncGenerator[Workflow]:
    """The n8n of a team."""
    async with working() as started:
        yield started
