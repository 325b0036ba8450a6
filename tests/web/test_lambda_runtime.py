"""One function under AWS's own runtime client. `make lambda-check` does so with all of them, out of the package."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.doubles.gateways import Sent, http_api, received
from tests.doubles.runtime_api import RuntimeApi

ROOT = Path(__file__).resolve().parents[2]


async def test_the_runtime_client_finds_the_handler_and_posts_what_it_answers(tmp_path: Path) -> None:
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(ROOT),
        "ENVIRONMENT": "development",
        "DATA_DIR": str(tmp_path),
    }
    async with RuntimeApi() as api:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "awslambdaric", "api/health.lambda_handler"),
            cwd=tmp_path,
            env=environment | {"AWS_LAMBDA_RUNTIME_API": api.address},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(60):
                answers = [received(await api.invoke(http_api(Sent(path=path)))) for path in ("/health/", "/nowhere")]
                refused = received(await api.invoke({"neither": "request nor job"}))
        finally:
            process.kill()
            await process.wait()
    assert [answer.status for answer in answers] == [200, 404]
    assert json.loads(answers[0].body)["status"] == "ok"
    assert refused.status == 400
