"""The package that every function runs from."""

import importlib.util
import struct
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

from bench.sizes import MEGABYTE
from tests.platforms.aws.build import ROOT, Tree
from tests.platforms.aws.conftest import CANARY

AARCH64 = 183
"""The machine in an ELF header."""

UNCHECKED_HASH = 0b01
"""The flags of bytecode that is never compared with its source (PEP 552)."""

LIMIT = 250
"""Megabytes unpacked that Lambda takes; https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html."""


@pytest.fixture(scope="session")
def contents(tree: Tree) -> dict[PurePosixPath, bytes]:
    with ZipFile(tree.zip) as package:
        return {
            PurePosixPath(entry.filename): package.read(entry) for entry in package.infolist() if not entry.is_dir()
        }


def test_it_holds_our_code_and_nothing_else_of_the_tree(tree: Tree, contents: dict[PurePosixPath, bytes]) -> None:
    ours = {path for path in contents if path.parts[0] in {"api", "lib", "scripts"} and path.suffix != ".pyc"}
    tracked = {
        PurePosixPath(path.relative_to(tree.folder).as_posix())
        for room in ("api", "lib")
        for path in (tree.folder / room).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert ours == tracked | {PurePosixPath("scripts/stream.sh")}
    tops = {path.parts[0] for path in contents}
    assert not tops & {path.name for path in ROOT.iterdir() if path.name not in {"api", "lib", "scripts"}}


def test_it_holds_no_secret_of_the_laptop(contents: dict[PurePosixPath, bytes]) -> None:
    assert [path for path, content in contents.items() if CANARY.encode() in content] == []


def test_it_holds_every_requirement(contents: dict[PurePosixPath, bytes]) -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    # A marker leaves out what is for Windows, PyPy or a browser.
    wanted = {
        line.partition(" ;")[0].replace("==", "-").replace("_", "-").lower()
        for line in lines
        if "sys_platform" not in line
    }
    held = {path.parts[0].removesuffix(".dist-info").replace("_", "-").lower() for path in contents}
    assert wanted - held == set()


def test_the_script_of_the_stream_may_be_run(tree: Tree) -> None:
    with ZipFile(tree.zip) as package:
        assert (package.getinfo("scripts/stream.sh").external_attr >> 16) & 0o111 == 0o111


def test_every_library_is_for_the_machine_it_will_run_on(contents: dict[PurePosixPath, bytes]) -> None:
    libraries = {path: content for path, content in contents.items() if content.startswith(b"\x7fELF")}
    assert len(libraries) > 20
    assert {struct.unpack_from("<H", content, 18)[0] for content in libraries.values()} == {AARCH64}


def test_every_module_is_compiled_for_the_runtime(contents: dict[PurePosixPath, bytes]) -> None:
    compiled = {path for path in contents if path.suffix == ".pyc"}
    for path in compiled:
        magic, flags = contents[path][:4], struct.unpack_from("<I", contents[path], 4)[0]
        assert (magic, flags) == (importlib.util.MAGIC_NUMBER, UNCHECKED_HASH), path
    modules = {path for path in contents if path.suffix == ".py"}
    missing = {path for path in modules if path.parent / "__pycache__" / f"{path.stem}.cpython-312.pyc" not in compiled}
    assert missing == set()


def test_a_traceback_names_files_where_lambda_has_them(contents: dict[PurePosixPath, bytes]) -> None:
    assert b"/var/task/lib/breaker.py" in contents[PurePosixPath("lib/__pycache__/breaker.cpython-312.pyc")]


def test_it_weighs_what_it_may(contents: dict[PurePosixPath, bytes]) -> None:
    weight = sum(map(len, contents.values())) / MEGABYTE
    assert weight < 200 < LIMIT


def test_unpacked_it_keeps_the_mode_of_the_script(root: Path) -> None:
    assert (root / "scripts" / "stream.sh").stat().st_mode & 0o777 == 0o555
