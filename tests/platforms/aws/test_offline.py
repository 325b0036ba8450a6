"""The unpacked package under serverless-offline: over its HTTP API, and by AWS's own client for Lambda."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest

from tests.doubles.gateways import Sent, http_api, received
from tests.doubles.openai_server import OpenAIServer
from tests.fixtures.web import INTERNAL_KEY, PASSWORD, question
from tests.platforms.aws.build import NPM, OSLS, Tree
from tests.platforms.aws.conftest import REGION, SECRET
from tests.platforms.aws.instance import task_environment
from tests.platforms.processes import serving
from tests.test_bundle import SERVERLESS

BUFFERED = [name for name, function in SERVERLESS["functions"].items() if "url" not in function]

Invoke = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Offline:
    """serverless-offline at work: `client` is a browser in front of its HTTP API, `invoke` is boto3's."""

    client: httpx.AsyncClient
    invoke: Invoke


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def service(root: Path, tree: Tree, folder: Path) -> None:
    """Make the unpacked package a service that osls can start, with the plugin that plays AWS.

    The plugin runs what lies in the service's own folder, and would unpack a package beside it to no end.
    """
    for part in root.iterdir():
        (folder / part.name).symlink_to(part)
    (folder / "node_modules").symlink_to(NPM)
    (folder / "scripts").unlink()
    shutil.copytree(tree.folder / "scripts" / "aws", folder / "scripts" / "aws")
    written = (tree.folder / "serverless.yml").read_text()
    packed = "package:\n  artifact: .lambda/parley.zip\n"
    assert packed in written
    (folder / "serverless.yml").write_text(f"{written.replace(packed, '')}\nplugins: [serverless-offline]\n")


@pytest.fixture(scope="module")
async def offline(
    root: Path, tree: Tree, folder: Path, aws: dict[str, str], module_double: OpenAIServer
) -> AsyncGenerator[Offline]:
    """One for all tests: it takes seconds to start."""
    place = folder / "offline"
    place.mkdir()
    service(root, tree, place)
    http, functions = free_ports(2)
    variables = aws | {"SECRETS_ID": SECRET, "OPENAI_BASE_URL": module_double.base_url}
    environment = task_environment(place, variables)
    environment["PATH"] = os.pathsep.join([environment["PATH"], os.environ["PATH"]])
    log = place / "log"
    ports = ("--httpPort", str(http), "--lambdaPort", str(functions), "--host", "127.0.0.1")
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *(OSLS, "offline", "start", "--noSponsor", *ports, "--stage", "check", "--region", REGION),
            cwd=place,
            env=environment | {"PYTHONPATH": str(place), "SLS_TELEMETRY_DISABLED": "1"},
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it starts Pythons, which end with it
        )
    try:
        await serving(process, http, log)
        keys: dict[str, Any] = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": REGION}
        client = boto3.client("lambda", endpoint_url=f"http://127.0.0.1:{functions}", **keys)

        def invoke(function: str, event: Any) -> Any:
            answer = client.invoke(FunctionName=f"parley-check-{function}", Payload=json.dumps(event).encode())
            assert "FunctionError" not in answer, answer["Payload"].read()
            return json.loads(answer["Payload"].read())

        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http}", timeout=60) as browser:
            yield Offline(browser, invoke)
        client.close()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.fixture(scope="module")
async def module_double() -> AsyncGenerator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


async def test_a_user_signs_in_and_chats_over_the_http_api(offline: Offline) -> None:
    account = {"email": f"{uuid4()}@example.com", "password": PASSWORD}
    assert (await offline.client.post("/api/v1/auth/register", json=account)).status_code == 201
    login = await offline.client.post("/api/v1/auth/login", json=account)
    assert login.status_code == 200
    # The cookie wants TLS, which ends at AWS; a browser's would be sent.
    cookie = login.headers["set-cookie"].partition(";")[0]
    for _ in range(2):
        answer = await offline.client.post("/api/v1/chat", json=question("Hi"), headers={"Cookie": cookie})
        assert answer.status_code == 200, answer.text
        assert answer.json()["response"]["saved"] is True
        assert answer.headers["cache-control"] == "no-store"


async def test_a_server_with_the_internal_key_reaches_conversations(offline: Offline) -> None:
    exchange = {"user_id": str(uuid4()), "query": "Q", "response": "A"}
    headers = {"X-Internal-API-Key": INTERNAL_KEY}
    answer = await offline.client.post("/api/v1/conversations/internal-save", json=exchange, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")  # nobody has that id


@pytest.mark.parametrize("path", ["/health", "/health/"])
async def test_health_is_told_over_the_http_api(offline: Offline, path: str) -> None:
    answer = await offline.client.get(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/api/v1/chat", 405), ("POST", "/api/v1/chat", 422)],
)
async def test_what_cannot_be_met_is_refused_in_our_words(
    offline: Offline, method: str, path: str, status: int
) -> None:
    answer = await offline.client.request(method, path)
    assert (answer.status_code, answer.json()["request_id"]) == (status, answer.headers["x-request-id"])


@pytest.mark.parametrize("function", BUFFERED)
async def test_awss_client_invokes_each_function(offline: Offline, function: str) -> None:
    answer = received(await asyncio.to_thread(offline.invoke, function, http_api(Sent(path="/nowhere"))))
    assert (answer.status, json.loads(answer.body)["code"]) == (404, "not_found")
    refused = received(await asyncio.to_thread(offline.invoke, function, {"neither": "request nor job"}))
    assert (refused.status, json.loads(refused.body)["code"]) == (400, "invalid_request")
