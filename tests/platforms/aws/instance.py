"""A function's instance at work, started from the unpacked package as Lambda starts it."""

import asyncio
import os
import sysconfig
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.doubles.runtime_api import RuntimeApi
from tests.platforms.aws.build import interpreter
from tests.platforms.processes import Ended

RUNTIME: Final = ("awslambdaric", "runtime_client*.so", "simplejson", "snapshot_restore_py.py")
"""What Lambda's own Python has, of which ours needs nothing but the runtime client."""


@dataclass(frozen=True)
class Instance:
    """A warm instance: its process answers one event after another."""

    api: RuntimeApi
    process: asyncio.subprocess.Process
    log: Path

    async def invoke(self, event: Any) -> Any:
        """Return what the function makes of an event.

        Raises:
            FunctionError: it raised, or did not start.
            Ended: its process is gone.
        """
        result = self.api.invoke(event)
        ended = asyncio.create_task(self.process.wait())
        await asyncio.wait((result, self.api.init_error, ended), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if result.done():
            return result.result()
        raise self.api.init_error.result() if self.api.init_error.done() else Ended(self.log.read_text())


@asynccontextmanager
async def instance(root: Path, folder: Path, handler: str, variables: Mapping[str, str]) -> AsyncGenerator[Instance]:
    """Start an instance of a buffered function under the official runtime client, with only the package on its path.

    Args:
        root: where the package is unpacked.
        folder: for what the instance writes, and for the runtime client.
        handler: as in serverless.yml.
        variables: its environment, beside what Lambda sets.
    """
    log = folder / "log"
    async with RuntimeApi() as api:
        with log.open("wb") as written:
            process = await asyncio.create_subprocess_exec(
                *(interpreter(), "-S", "-m", "awslambdaric", handler),
                cwd=root,
                env=task_environment(root, variables)
                | {
                    "AWS_LAMBDA_RUNTIME_API": api.address,
                    "PYTHONPATH": os.pathsep.join([str(root), str(_runtime(folder))]),
                },
                stdout=written,
                stderr=written,
            )
        try:
            yield Instance(api, process, log)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def task_environment(root: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return what a function's process finds in its environment on Lambda."""
    return {
        "PATH": os.pathsep.join([str(interpreter().parent), os.defpath]),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": str(root),
        "AWS_LAMBDA_FUNCTION_NAME": "parley-check",
        **variables,
    }


def _runtime(folder: Path) -> Path:
    """Return a folder with the runtime client alone, out of the packages of the tests."""
    runtime = folder / "runtime"
    runtime.mkdir()
    packages = Path(sysconfig.get_path("platlib"))
    for pattern in RUNTIME:
        (found,) = packages.glob(pattern)
        (runtime / found.name).symlink_to(found)
    return runtime
