"""Cut documents into passages that a search can find and a model can read."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from lib.rag.documents import Document

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

CAPACITY: Final = 1000
"""Most characters of a chunk: about 250 tokens, which is what small embedding models read."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: `text` is the document's text from `start` to `end`, under the path of `headings`."""

    headings: tuple[str, ...]
    start: int
    end: int
    text: str


def split(document: Document, capacity: int = CAPACITY) -> tuple[Chunk, ...]:
    """Return the document's chunks in order, each within one section, at most `capacity` characters long.

    A section is cut at its largest units that fit: blocks, then lines, sentences, words.
    """
    splitter = _splitter(capacity, document.markdown)
    return tuple(
        Chunk(section.headings, section.start + offset, section.start + offset + len(text), text)
        for section in document.sections
        for offset, text in splitter.chunk_indices(document.text[section.start : section.end])
    )


@cache
def _splitter(capacity: int, markdown: bool) -> "MarkdownSplitter | TextSplitter":
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    return MarkdownSplitter(capacity) if markdown else TextSplitter(capacity)
