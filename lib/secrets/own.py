"""Secrets that development makes for itself, once, and keeps in a folder."""

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

BYTES: Final = 32


def read_or_make(path: Path) -> str:
    """Return the secret in the file at `path`, made by whichever process comes first.

    Raises:
        OSError: the file can be neither read nor made.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(secrets.token_urlsafe(BYTES))
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text()
