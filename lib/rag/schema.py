"""What ingestion and search agree on: the names inside a collection, and how documents and chapters are called."""

import re
from typing import Final
from uuid import UUID, uuid5

DENSE: Final = "dense"
"""The named vector of the embedding."""

BM25: Final = "bm25"
"""The named sparse vector of BM25 weights."""

_NOT_WORD: Final = re.compile(r"[\W_]+")


def document_id(team_id: UUID, uri: str) -> str:
    """Return the id of a team's document: the same whenever the same team ingests the same `uri`."""
    return str(uuid5(team_id, uri))


def chapter_slug(heading: str) -> str:
    """Return the name by which a search is narrowed to a heading: `Getting Started!` is `getting-started`."""
    return _NOT_WORD.sub("-", heading.casefold()).strip("-")
