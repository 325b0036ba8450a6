"""The files that describe a deployment agree with each other, and with what they are made from."""

import json
import re
import tomllib
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib.settings import Settings
from lib.version import VERSION
from scripts.export import exports, variables

ROOT = Path(__file__).resolve().parent.parent
VERCEL: dict[str, Any] = json.loads((ROOT / "vercel.json").read_text())
SERVERLESS: dict[str, Any] = yaml.safe_load((ROOT / "serverless.yml").read_text())
TABLE: dict[str, str] = {rewrite["source"]: rewrite["destination"] for rewrite in VERCEL["rewrites"]}


def http_api() -> dict[str, str]:
    """Return the paths of the HTTP API's routes in `serverless.yml`, each with its function's file; `*` is the rest."""
    return {
        event["httpApi"].removeprefix("ANY "): source_of(function["handler"])
        for function in SERVERLESS["functions"].values()
        for event in function.get("events", [])
        if "httpApi" in event
    }


def lambda_routes() -> dict[str, str]:
    """Return the routes of the HTTP API as `vercel.json` would write them."""
    return {path.replace("{proxy+}", "(.*)"): file for path, file in http_api().items() if path != "*"}


def front() -> dict[str, Any]:
    """Return the one host in front of both origins, and what belongs to it."""
    return yaml.safe_load((ROOT / "scripts" / "aws" / "front.yml").read_text())["Resources"]


def streamed_paths() -> list[str]:
    """Return the paths that the one host hands to the function URL, as `vercel.json` would write them."""
    behaviors = front()["Front"]["Properties"]["DistributionConfig"]["CacheBehaviors"]
    return [
        behavior["PathPattern"].replace("*", "(.*)") for behavior in behaviors if behavior["TargetOriginId"] == "stream"
    ]


def source_of(handler: str) -> str:
    return f"/{handler.removesuffix('.lambda_handler')}.py"


def test_what_is_made_from_other_files_is_up_to_date() -> None:
    made = exports()
    stale = [path.name for path, content in made.items() if not path.exists() or path.read_text() != content]
    assert stale == [], "run: uv run python scripts/export.py"
    assert {path for path in made if path.suffix == ".sql"} == set((ROOT / "scripts" / "migrations").glob("*.sql"))


def test_the_version_is_said_alike() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_a_requirement_names_no_host() -> None:
    assert "://" not in (ROOT / "requirements.txt").read_text()


def test_an_example_of_the_environment_holds_no_secret() -> None:
    example = (ROOT / ".env.example").read_text()
    for name in ("JWT_SECRET_KEY", "JWT_PRIVATE_KEY", "SEAL_KEY", "SMTP_URL", "INTERNAL_API_KEY", "NEON_DATABASE_URL"):
        assert re.search(rf"^#{name}=$", example, re.MULTILINE)


@pytest.mark.parametrize(("source", "destination"), TABLE.items())
def test_a_route_is_a_path_with_room_for_ids_and_leads_to_a_function(source: str, destination: str) -> None:
    assert re.fullmatch(r"(/[a-z0-9.-]+)+(/\(\.\*\)|/[a-z0-9.-]+)*", source)
    assert (ROOT / destination.removeprefix("/")).is_file()


def test_no_route_is_hidden_by_one_before_it() -> None:
    assert len(TABLE) == len(VERCEL["rewrites"])
    for earlier, later in combinations(TABLE, 2):
        assert not re.fullmatch(earlier, later.replace("(.*)", "x"))


def test_every_function_has_a_route_and_limits() -> None:
    functions = sorted(path.relative_to(ROOT) for path in (ROOT / "api").rglob("*.py"))
    assert sorted({Path(destination.removeprefix("/")) for destination in TABLE.values()}) == functions
    for function in functions:
        limits = [limit for pattern, limit in VERCEL["functions"].items() if function.match(pattern)]
        assert len(limits) == 1


def test_nothing_but_the_public_folder_is_published() -> None:
    # Without such a folder Vercel publishes the whole repository as static files.
    assert any((ROOT / "public").iterdir())


def test_aws_routes_the_same_table() -> None:
    streamed = {source: destination for source, destination in TABLE.items() if destination == "/api/chat/stream.py"}
    assert lambda_routes() | streamed == TABLE
    assert streamed_paths() == list(streamed)
    assert SERVERLESS["functions"]["stream"]["url"] == {"invokeMode": "RESPONSE_STREAM"}


def test_a_path_of_nobody_reaches_a_function_that_refuses_it() -> None:
    answering = [
        name for name, function in SERVERLESS["functions"].items() if {"httpApi": "*"} in function.get("events", [])
    ]
    assert answering == ["health"]


def test_the_stream_function_starts_its_app() -> None:
    script = ROOT / SERVERLESS["functions"]["stream"]["handler"]
    assert script.stat().st_mode & 0o111
    assert "uvicorn api.chat.stream:app" in script.read_text()


def test_aws_passes_on_every_variable_that_is_no_secret() -> None:
    public = {
        variable
        for name, field in Settings.model_fields.items()
        if "SecretStr" not in str(field.annotation)
        for variable in variables(name, field)
    }
    assert set(SERVERLESS["provider"]["environment"]) == public - {"DATA_DIR"}


def test_a_deployment_on_aws_names_its_secret() -> None:
    # Without a default, osls packages nothing where SECRETS_ID is not set.
    assert SERVERLESS["provider"]["environment"]["SECRETS_ID"] == "${env:SECRETS_ID}"
