"""The LiteLLM proxy, in packages of its own under `.tools`: they would not go with ours."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from local.child import ROOT
from scripts.export import uv

VERSION: Final = "1.106.2"
_HOME: Final = ROOT / ".tools" / f"litellm-{VERSION}"


def program() -> Path | None:
    """Return the proxy's program, installed on first use (570 MB); None where it cannot be."""
    done, found = _HOME / "done", _HOME / "bin" / "litellm"
    if done.exists():
        return found
    packages = [f"litellm[proxy]=={VERSION}", "httptools"]  # the parser that the other relays have
    commands = (
        [uv(), "venv", "--quiet", "--clear", "--python", sys.executable, str(_HOME)],
        [uv(), "pip", "install", "--quiet", "--python", str(_HOME / "bin" / "python"), *packages],
    )
    for command in commands:
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
            return None
    done.touch()
    return found
