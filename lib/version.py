"""The version of Parley, for traces and whoever asks. `pyproject.toml` says the same; a function has no copy of it."""

from typing import Final

VERSION: Final = "0.1.0"
