"""Files that a browser saves, and never shows."""

import re
import unicodedata
from typing import Final
from urllib.parse import quote

from fastapi import Response

LONGEST_NAME: Final = 60
"""Characters of a file's name, without its ending."""


def download(content: bytes, media_type: str, *, name: str, ending: str) -> Response:
    """Return a file to save.

    Args:
        content: what is in it.
        media_type: what it is.
        name: what people call it: any text. Of it the file's name keeps what no system minds (RFC 6266).
        ending: of the file's name, without a dot.
    """
    plain, full = f"{_ascii(name)}.{ending}", f"{_safe(name)}.{ending}"
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(full, safe='')}",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, headers=headers, media_type=media_type)


def _ascii(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", letters)[:LONGEST_NAME].strip("-") or "conversation"


def _safe(name: str) -> str:
    """Return a name without separators, wildcards, and what is not seen: a mark that turns the text round, say."""
    seen = "".join(letter if letter.isprintable() else " " for letter in name)
    return " ".join(re.sub(r'[/\\:*?"<>|.]+', " ", seen).split())[:LONGEST_NAME].strip() or "conversation"
