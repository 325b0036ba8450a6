"""Run a script with what `make dev` runs: `python -m local.beside scripts/ingest.py my-book.md`."""

import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from lib.settings import SettingsInvalid, get_settings
from local.part import PartFailed, sole_use


def main() -> NoReturn:
    """Become the script, under the environment that `make dev` told, or say why not."""
    try:
        environment = _told(get_settings().data_dir)
    except (PartFailed, SettingsInvalid) as error:
        sys.exit(str(error))
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], os.environ | environment)  # noqa: S606 - our own script


def _told(data: Path) -> dict[str, str]:
    told = data / "local.env"
    if not told.exists() or _is_free(data):
        raise PartFailed("`make dev` is not running; start it first.")
    return dict(line.split("=", 1) for line in shlex.split(told.read_text()))


def _is_free(data: Path) -> bool:
    """Whether nothing runs on the data folder: what was told there is left from a run that was killed."""
    try:
        with sole_use(data, patience=0):
            return True
    except PartFailed:
        return False


if __name__ == "__main__":
    main()
