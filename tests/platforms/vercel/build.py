"""What `vercel build` makes of this repository, offline and without a login."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[3]
CLI: Final = ROOT / ".tools" / "npm" / "node_modules" / ".bin" / "vercel"
PROJECT: Final = {"projectId": "p", "orgId": "o", "settings": {"framework": None}}


@dataclass(frozen=True)
class Function:
    """A function as it is unpacked on Vercel.

    Attributes:
        name: its path without `.func`, such as `api/chat/stream`.
        folder: what Vercel has as `/var/task`.
        config: its `.vc-config.json`.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Output:
    """A build.

    Attributes:
        folder: `.vercel/output`.
        config: its `config.json`: routes and crons.
        functions: by name.
        log: what the build printed.
    """

    folder: Path
    config: Mapping[str, Any]
    functions: Mapping[str, Function]
    log: str


def tracked_files() -> list[Path]:
    """Return what git tracks and is there, from `ROOT` on."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def copy_tracked_files(into: Path) -> None:
    """Copy what git tracks, as it is in the working tree now: what a push would bring to Vercel."""
    for path in tracked_files():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, into / path)


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment of Vercel's CLI: our Python and uv come first, and what it keeps goes to `scratch`."""
    paths = [f"{sys.base_prefix}/bin", str(ROOT / ".tools" / "bin"), os.environ["PATH"]]
    held = {
        name: value for name, value in os.environ.items() if not name.startswith(("VERCEL", "UV_PROJECT", "VIRTUAL"))
    }
    return held | {
        "PATH": os.pathsep.join(paths),
        "VERCEL_TELEMETRY_DISABLED": "1",
        "NO_UPDATE_NOTIFIER": "1",
        "TMPDIR": str(scratch),
        "XDG_DATA_HOME": str(scratch / "data"),
        "XDG_CACHE_HOME": str(scratch / "cache"),
    }


def build(tree: Path, scratch: Path, functions: Path) -> Output:
    """Build `tree`, and lay out each function under `functions` as Vercel unpacks it.

    What `vercel.json` sets for the build is set here: the platform does so before it runs the CLI.

    It builds without `--standalone`: a function is then a list of files, which stay where they are, and the links are
    made here, once the build is over. With the flag the CLI copies one function's packages while it reinstalls them for
    the next, and fails when it comes upon a file that is gone just then.

    Raises:
        AssertionError: the build failed; the message is what it printed.
    """
    (tree / ".vercel").mkdir()
    (tree / ".vercel" / "project.json").write_text(json.dumps(PROJECT))
    built = subprocess.run(
        [CLI, "build", "--yes"],
        cwd=tree,
        env=environment(scratch) | json.loads((tree / "vercel.json").read_text())["build"]["env"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    output = tree / ".vercel" / "output"
    laid_out = [_lay_out(config, tree, functions) for config in sorted(output.glob("functions/**/.vc-config.json"))]
    config = json.loads((output / "config.json").read_text())
    return Output(output, config, {function.name: function for function in laid_out}, built.stdout)


def _lay_out(config_file: Path, tree: Path, functions: Path) -> Function:
    """Put a function's files where they belong, as links: functions share nearly all of them."""
    source = config_file.parent
    name = str(source.relative_to(tree / ".vercel" / "output" / "functions").with_suffix(""))
    config = json.loads(config_file.read_text())
    folder = functions / name
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(config_file.name))
    for path, origin in config.pop("filePathMap").items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).hardlink_to(tree / origin)
    return Function(name, folder, config)
