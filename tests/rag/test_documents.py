from io import BytesIO

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from lib.rag.documents import Document, Unreadable, read_document


def outlined(document: Document) -> list[tuple[tuple[str, ...], str]]:
    """Return the headings and the text of every section with text."""
    sections = [(section.headings, document.text[section.start : section.end].strip()) for section in document.sections]
    return [(headings, text) for headings, text in sections if text]


def pdf(
    *pages: str, outline: dict[int, str] | None = None, title: str | None = None, password: str | None = None
) -> bytes:
    """Write a PDF with a line of text on each page."""
    writer = PdfWriter()
    font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    fonts = DictionaryObject(
        {NameObject("/F1"): DictionaryObject({NameObject(k): NameObject(v) for k, v in font.items()})}
    )
    for words in pages:
        page = writer.add_blank_page(300, 300)
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 20 200 Td ({words}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(content)  # pyright: ignore[reportPrivateUsage]
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    for number, heading in (outline or {}).items():
        writer.add_outline_item(title=heading, page_number=number)
    if title:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    written = BytesIO()
    writer.write(written)
    return written.getvalue()


def test_markdown_is_cut_at_its_headings() -> None:
    document = read_document(
        "a/guide.md", b"before\n\n# Guide\n\none\n\n## Set *up*\ntwo\n\n### Deep\nthree\n\n## `use`\nfour\n"
    )
    assert document.title == "Guide"
    assert outlined(document) == [
        ((), "before"),
        (("Guide",), "one"),
        (("Guide", "Set up"), "two"),
        (("Guide", "Set up", "Deep"), "three"),
        (("Guide", "use"), "four"),
    ]


def test_an_underlined_heading_counts_and_one_in_a_fence_or_a_quotation_does_not() -> None:
    document = read_document("guide.md", b"Guide\n=====\n\n```\n# not one\n```\n\n> # nor this\n")
    assert [headings for headings, _ in outlined(document)] == [("Guide",)]


def test_a_markdown_file_without_a_heading_is_called_by_its_name() -> None:
    assert read_document("a/notes.md", b"only words").title == "notes"


def test_front_matter_names_the_title_and_is_no_text() -> None:
    document = read_document("guide.md", b'---\ntitle: "The guide"\ntags: x\n---\n\nwords\n\n# Head\n\nmore\n')
    assert document.title == "The guide"
    assert outlined(document) == [((), "words"), (("Head",), "more")]


def test_offsets_count_a_windows_line_end_as_one_character() -> None:
    document = read_document("guide.md", b"\xef\xbb\xbf# One\r\n\r\ntext\r\n")
    assert document.text == "# One\n\ntext\n"
    assert outlined(document) == [(("One",), "text")]


def test_html_becomes_what_a_person_reads() -> None:
    page = """<html><head><title>A  page</title><style>p{}</style></head><body><nav>Home</nav><script>evil()</script>
    <p>before</p><h1>Setup</h1><div>outer <b>bold</b><p>inner</p>after</div>
    <h2>Keys &amp; more</h2><pre>a\n  b</pre><table><tr><td>one</td><td>two</td></tr></table>one<br>two</body></html>"""
    document = read_document("page.html", page.encode())
    assert document.title == "A page"
    assert outlined(document) == [
        ((), "before"),
        (("Setup",), "outer bold\n\ninner\n\nafter"),
        (("Setup", "Keys & more"), "a\n  b\n\none two\n\none two"),
    ]


def test_a_pdf_is_cut_at_its_pages_under_its_outline() -> None:
    data = pdf("the first", "the second", "the third", outline={1: "Chapter two"}, title="Manual")
    document = read_document("manual.pdf", data)
    assert document.title == "Manual"
    assert outlined(document) == [
        (("Page 1",), "the first"),
        (("Chapter two", "Page 2"), "the second"),
        (("Chapter two", "Page 3"), "the third"),
    ]


def test_a_pdf_that_opens_without_a_password_is_read() -> None:
    assert "the words" in read_document("manual.pdf", pdf("the words", password="")).text


def test_an_unknown_format_is_read_as_text() -> None:
    document = read_document("Makefile", b"all:\n\ttrue\n")
    assert (document.title, outlined(document)) == ("Makefile", [((), "all:\n\ttrue")])


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.md", b"", "it is empty"),
        ("a.txt", b" \n\t ", "it is empty"),
        ("a.md", b"caf\xe9", "it is not UTF-8 text"),
        ("a.txt", b"\x00\x01\x02", "it is not text"),
        ("a.html", b"\xff\xfe\x00", "it is not UTF-8 text"),
        ("a.html", b"<script>only()</script>", "there is no text in it"),
        ("a.pdf", pdf("secret", password="secret"), "it is encrypted"),
        ("a.pdf", pdf(""), "there is no text in it"),
    ],
)
def test_a_file_without_text_for_us_says_why(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read_document(name, data)


@pytest.mark.parametrize("data", [b"not a pdf", b"%PDF-1.7\n%%EOF", pdf("cut")[:300], bytes(range(256)) * 20])
def test_a_damaged_pdf_is_unreadable_and_no_crash(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read_document("a.pdf", data)
