"""What is in a build: which functions, where from, how they are set up, and how much they weigh."""

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from bench.sizes import weigh
from tests.platforms.vercel.build import ROOT, Function, Output, tracked_files
from tests.platforms.vercel.conftest import LAPTOP_SECRET
from tests.platforms.vercel.process import NotStarted, running
from tests.platforms.vercel.routes import example, function_of
from tests.test_bundle import TABLE, VERCEL

HOBBY_FUNCTIONS = 12
VERCEL_MEGABYTES = 225
MEGABYTES = 155
"""Ours, bytecode included. A package that is worth it may raise it, to 200 at most: docs/decisions/bytecode.md."""

TRACKED = tracked_files()
NAMES = sorted(str(path.with_suffix("")) for path in TRACKED if path.parts[0] == "api")


@pytest.fixture(params=NAMES)
def function(request: pytest.FixtureRequest, output: Output) -> Function:
    return output.functions[request.param]


def files(function: Function) -> set[Path]:
    return {path.relative_to(function.folder) for path in function.folder.rglob("*") if path.is_file()}


def test_every_file_of_api_is_a_function_and_nothing_else_is(output: Output) -> None:
    assert sorted(output.functions) == NAMES
    assert len(NAMES) <= HOBBY_FUNCTIONS


def test_a_function_is_set_up_as_vercel_json_says(function: Function) -> None:
    (limits,) = (limit for pattern, limit in VERCEL["functions"].items() if Path(f"{function.name}.py").match(pattern))
    expected: dict[str, Any] = {
        "runtime": f"python{(ROOT / '.python-version').read_text().strip()}",
        "handler": "vc__handler__python.vc_handler",
        "maxDuration": limits["maxDuration"],
        "supportsResponseStreaming": True,
        "supportsCancellation": limits.get("supportsCancellation"),
    }
    assert {name: function.config.get(name) for name in expected} == expected
    assert (
        f'"__VC_HANDLER_ENTRYPOINT": "{function.name}.py"' in (function.folder / "vc__handler__python.py").read_text()
    )


def test_each_row_of_the_table_leads_to_its_function(output: Output) -> None:
    for source, destination in TABLE.items():
        assert function_of(output.config, example(source)) == destination.removeprefix("/").removesuffix(".py")
    routed = [route["dest"] for route in output.config["routes"] if route.get("dest", "").endswith(".py")]
    assert routed == list(TABLE.values())


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", "/api/v1/auth", "/api/v1/chat/", "/docs", "/.env"])
def test_a_path_outside_the_table_has_no_function(output: Output, path: str) -> None:
    with pytest.raises(LookupError):
        function_of(output.config, path)


def test_the_build_calls_what_vercel_json_calls_on_a_schedule(output: Output) -> None:
    assert output.config["crons"] == VERCEL.get("crons", [])
    for cron in output.config["crons"]:
        assert function_of(output.config, cron["path"])


def test_only_the_public_folder_is_published(output: Output) -> None:
    published = {path.relative_to(output.folder / "static") for path in (output.folder / "static").rglob("*")}
    assert published == {path.relative_to(ROOT / "public") for path in (ROOT / "public").rglob("*")}


def test_a_function_holds_api_lib_and_packages_and_nothing_else(function: Function) -> None:
    held = files(function)
    assert {path.parts[0] for path in held} == {"api", "lib", "_vendor", "vc__handler__python.py"}
    ours = {path for path in held if path.parts[0] in {"api", "lib"} and path.suffix != ".pyc"}
    assert ours == {path for path in TRACKED if path.parts[0] in {"api", "lib"}}
    for path in ours:
        assert LAPTOP_SECRET not in (function.folder / path).read_text()


def test_a_function_holds_what_the_lock_says_and_no_tools_of_ours(function: Function) -> None:
    installed = {distribution.name.lower(): distribution for distribution in found(function)}
    assert installed["fastapi"].version == metadata.version("fastapi")
    assert not installed.keys() & {
        "pytest",
        "moto",
        "boto3",
        "alembic",
        "qdrant-client",
        "openai",
        "onnxruntime",
        "rich",
    }


def found(function: Function) -> list[metadata.Distribution]:
    return list(metadata.distributions(path=[str(function.folder / "_vendor")]))


def test_every_module_of_a_function_has_its_bytecode_beside_it(function: Function) -> None:
    held = files(function)
    tag = function.config["runtime"].replace("python", "cpython-").replace(".", "")
    sources = {path for path in held if path.suffix == ".py" and len(path.parts) > 1}
    missing = {path for path in sources if path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc" not in held}
    assert missing == set()


def test_bytecode_holds_however_the_platform_dates_the_sources(function: Function) -> None:
    # The second word of the header: 1 says that it goes with a hash of its source, and that nobody need compare it.
    headers = {path: (function.folder / path).read_bytes()[4:8] for path in files(function) if path.suffix == ".pyc"}
    assert {path for path, header in headers.items() if header != b"\1\0\0\0"} == set()


def test_a_function_fits(function: Function) -> None:
    weight = weigh(function.folder, "_vendor")
    assert weight.megabytes < MEGABYTES < VERCEL_MEGABYTES
    assert weight.bytes == sum((function.folder / path).stat().st_size for path in files(function))


async def test_a_function_without_its_variables_says_which_and_does_not_start(function: Function) -> None:
    with pytest.raises(NotStarted, match=r"JWT_SECRET_KEY is required .* DATABASE_URL is required"):
        async with running(function, {"VERCEL_ENV": "production"}):
            pass
