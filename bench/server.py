"""A Parley of one process, as an instance is, for measurements."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from lib.settings import DEFAULT_RATE_LIMITS
from local.child import ROOT


@asynccontextmanager
async def serving(folder: str, database_url: str, **environment: str) -> AsyncGenerator[str]:
    """Serve every function from one process, without limits of rates, and yield where.

    Args:
        folder: where it keeps its data.
        database_url: its Postgres.
        environment: other variables.
    """
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "lib.web.local:app", "--port", str(port)),
        cwd=folder,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": os.defpath,
            "DATA_DIR": folder,
            "DATABASE_URL": database_url,
            "RATE_LIMITS": ",".join(f"{name}=0" for name in DEFAULT_RATE_LIMITS),
            "LOG_LEVEL": "WARNING",
            **environment,
        },
    )
    try:
        await _until_it_listens(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return
