"""Read a file into a document: its text, its title, and which part of the text is under which headings.

Markdown keeps its own characters, so that offsets index the file; HTML and PDF become the text that a person reads.
"""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from pypdf import PdfReader
    from selectolax.lexbor import LexborNode


class Unreadable(Exception):
    """The file has no text for us. The message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Section:
    """What lies under one heading and above the next. `start` and `end` are offsets into the document's text.

    `headings` is the path from the outermost heading to this one; the heading's own line is not in the range.
    """

    headings: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text, with its sections in order."""

    title: str
    text: str
    sections: tuple[Section, ...]
    markdown: bool = False


def read_document(name: str, data: bytes) -> Document:
    """Return the document in a file's bytes. The file's `name` tells its format; an unknown one is read as text.

    Raises:
        Unreadable: empty, not UTF-8, encrypted, damaged, or without text.
    """
    path = PurePosixPath(name)
    if not data.strip():
        raise Unreadable("it is empty")
    document = _READERS.get(path.suffix.lower(), _read_text)(path.stem, data)
    if not document.text.strip():
        raise Unreadable("there is no text in it")
    return document


def _decode(data: bytes) -> str:
    """Return the text with newlines as one character."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8 text") from None
    if "\0" in text:
        raise Unreadable("it is not text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_text(stem: str, data: bytes) -> Document:
    text = _decode(data)
    return Document(stem, text, (Section((), 0, len(text)),))


@dataclass(frozen=True, slots=True)
class _Heading:
    """A heading of a level, 1 the outermost, whose own text is at `start` to `end`."""

    level: int
    text: str
    start: int
    end: int


def _sections(headings: list[_Heading], length: int, *, start: int = 0) -> Iterator[Section]:
    """Cut a text of `length` characters at its headings, leaving out what comes before `start`."""
    path: list[_Heading] = []
    edges = [_Heading(0, "", start, start), *headings, _Heading(0, "", length, length)]
    for heading, following in pairwise(edges):
        path = [above for above in path if above.level < heading.level]
        if heading.text:
            path.append(heading)
        yield Section(tuple(above.text for above in path), heading.end, following.start)


_FRONT_MATTER: Final = re.compile(r"\A---\n(?P<fields>.*?)\n---\n", re.DOTALL)
_TITLE_FIELD: Final = re.compile(r"^title:[ \t]*([\"']?)(?P<title>.+?)\1[ \t]*$", re.MULTILINE)


def _read_markdown(stem: str, data: bytes) -> Document:
    text = _decode(data)
    front = _FRONT_MATTER.match(text)
    named = front and _TITLE_FIELD.search(front["fields"])
    body = front.end() if front else 0
    headings = list(_markdown_headings(text, body))
    first = headings[0].text if headings and headings[0].level == 1 else stem
    sections = tuple(_sections(headings, len(text), start=body))
    return Document(named["title"] if named else first, text, sections, markdown=True)


def _markdown_headings(text: str, body: int) -> Iterator[_Heading]:
    """Find the headings that stand in the text itself, not in a fence, a quotation or a list."""
    from markdown_it import MarkdownIt

    lines = [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
    hidden = text.count("\n", 0, body)
    tokens = MarkdownIt().parse("\n" * hidden + text[body:])
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            words = "".join(child.content for child in inline.children or ()).strip()
            if words:
                yield _Heading(int(opening.tag[1]), words, lines[opening.map[0]], lines[opening.map[1]])


_SILENT: Final = ["script", "style", "noscript", "template", "svg", "nav", "iframe"]
_BLOCKS: Final = frozenset(
    re.findall(
        r"\w+",
        "address article aside blockquote body dd details div dl dt fieldset figcaption figure footer form"
        " h1 h2 h3 h4 h5 h6 header hr li main ol p pre section summary table tr ul",
    )
)
_SPACE: Final = re.compile(r"\s+")


def _read_html(stem: str, data: bytes) -> Document:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_decode(data))
    title = tree.css_first("title")
    tree.strip_tags(_SILENT)
    text, headings = "", list[_Heading]()
    for tag, words in _html_blocks(tree.body):
        text += "\n\n" if text else ""
        if re.fullmatch("h[1-6]", tag):
            headings.append(_Heading(int(tag[1]), words, len(text), len(text) + len(words)))
        text += words
    named = _SPACE.sub(" ", title.text()).strip() if title else ""
    return Document(named or (headings[0].text if headings else stem), text, tuple(_sections(headings, len(text))))


def _html_blocks(body: "LexborNode | None") -> Iterator[tuple[str, str]]:
    """Yield the tag and the text of every block, in reading order, blocks within blocks apart."""
    block: LexborNode | None = None
    words = ""
    for node in body.traverse(include_text=True) if body else ():
        if node.tag in {"br", "td", "th"}:
            words += "\n" if node.tag == "br" else " "
        if node.tag != "-text":
            continue
        parent = _enclosing_block(node)
        if block is not None and parent.mem_id != block.mem_id:
            yield from _block(block, words)
            words = ""
        block = parent
        words += node.text_content or ""
    if block is not None:
        yield from _block(block, words)


def _enclosing_block(node: "LexborNode") -> "LexborNode":
    parent = node.parent
    while parent is not None and parent.tag not in _BLOCKS:
        parent = parent.parent
    return parent or node


def _block(block: "LexborNode", words: str) -> Iterator[tuple[str, str]]:
    words = words.strip() if block.tag == "pre" else _SPACE.sub(" ", words).strip()
    if words:
        yield block.tag or "", words


def _read_pdf(stem: str, data: bytes) -> Document:
    """Read the pages' text. A section is a page, under the outline's entries that cover it."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("it is encrypted")
        pages = [_decode(page.extract_text().encode(errors="replace").replace(b"\0", b"")) for page in reader.pages]
        title = str(reader.metadata.title or "").strip() if reader.metadata else ""
        outline = list(_outline(reader))
    except Unreadable:
        raise
    except Exception as error:  # what a parser raises on a damaged file is whatever it stumbled over
        raise Unreadable(f"it is not a PDF we can read ({type(error).__name__})") from error
    return _paged(title or stem, pages, outline)


def _outline(reader: "PdfReader") -> Iterator[tuple[int, int, str]]:
    """Yield page index, level and title of the outline's entries, in its order."""

    def walk(entries: list[Any], level: int) -> Iterator[tuple[int, int, str]]:
        for entry in entries:
            if isinstance(entry, list):
                yield from walk(cast("list[Any]", entry), level + 1)
            else:
                page = reader.get_destination_page_number(entry)
                yield (-1 if page is None else page), level, str(entry.title)

    yield from walk(reader.outline, 1)


def _paged(title: str, pages: list[str], outline: list[tuple[int, int, str]]) -> Document:
    text, sections, path = "", list[Section](), list[tuple[int, str]]()
    for number, page in enumerate(pages):
        for _, level, entry in (entry for entry in outline if entry[0] == number):
            path = [*((depth, above) for depth, above in path if depth < level), (level, entry)]
        start = len(text)
        text += page + "\n\n"
        sections.append(Section((*(entry for _, entry in path), f"Page {number + 1}"), start, start + len(page)))
    return Document(title, text, tuple(sections))


_READERS: Final[dict[str, Callable[[str, bytes], Document]]] = {
    ".md": _read_markdown,
    ".markdown": _read_markdown,
    ".html": _read_html,
    ".htm": _read_html,
    ".pdf": _read_pdf,
    ".txt": _read_text,
    ".rst": _read_text,
}

SUFFIXES: Final = frozenset(_READERS)
"""Formats we know, by the ending of a file's name."""
