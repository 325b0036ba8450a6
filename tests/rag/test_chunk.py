from hypothesis import given
from hypothesis import strategies as st

from lib.rag.chunk import CAPACITY, split
from lib.rag.documents import Document, Section, read_document

LINE = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=80),
    st.builds("{} {}".format, st.sampled_from(["#", "##", "###"]), st.text("abcé 😀", min_size=1, max_size=10)),
    st.sampled_from(["", "```", "- item", "> quote", "---", "| a | b |"]),
)
MARKDOWN = st.lists(LINE, min_size=1, max_size=40).map("\n".join).filter(str.strip)


@given(MARKDOWN, st.integers(10, 200))
def test_offsets_index_the_text(text: str, capacity: int) -> None:
    document = read_document("page.md", text.encode())
    for chunk in split(document, capacity):
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert 0 < len(chunk.text) <= capacity
        assert chunk.text.strip()


@given(MARKDOWN, st.integers(10, 200))
def test_every_word_under_a_heading_is_in_a_chunk(text: str, capacity: int) -> None:
    document = read_document("page.md", text.encode())
    kept = "".join(chunk.text for chunk in split(document, capacity))
    wanted = "".join(document.text[section.start : section.end] for section in document.sections)
    assert "".join(kept.split()) == "".join(wanted.split())


def test_a_chunk_never_spans_two_headings() -> None:
    document = read_document("page.md", b"# One\n\nfirst\n\n## Two\n\nsecond\n")
    assert [(chunk.headings, chunk.text) for chunk in split(document)] == [
        (("One",), "first"),
        (("One", "Two"), "second"),
    ]


def test_a_long_section_is_cut_between_sentences() -> None:
    sentence = "This sentence is forty characters long. "
    document = Document("Title", sentence * 100, (Section(("H",), 0, 4000),))
    chunks = split(document)
    assert all(len(chunk.text) <= CAPACITY and chunk.text.endswith("long.") for chunk in chunks)
    assert len(chunks) == 4
