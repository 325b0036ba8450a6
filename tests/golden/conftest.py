"""The server whose bytes the tests of this folder send."""

from collections.abc import AsyncGenerator

import pytest

from lib.http import close_http_session
from tests.golden.upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream]:
    """An upstream; `upstream.answer` says what it answers, `upstream.reader` who has to have read it."""
    async with Upstream() as server:
        yield server
        await close_http_session()
