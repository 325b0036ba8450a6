import pytest

from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.rag import bm25
from lib.rag.collection import IngestionFailed, open_collection, searched_text
from lib.rag.index import BATCH, Outcome
from tests.doubles.embeddings_server import EmbeddingsServer
from tests.fixtures.retrieval import NOWHERE, Library, retrieval_settings

GUIDE = "# Guide\n\nintroduction\n\n## Install\n\nrun the installer\n\n## Use\n\nask a question\n"
NOTES = "# Notes\n\nremember the milk\n"


def manual(sections: int) -> str:
    return "# Manual\n" + "".join(f"\n## Section {i}\n\nword{i} is explained here\n" for i in range(sections))


def test_the_same_files_again_embed_nothing(shelf: Library, embeddings_double: EmbeddingsServer) -> None:
    assert shelf.keep({"guide.md": GUIDE}) == Outcome(chunks=3, embedded=3, unchanged=0, removed=0)
    before = shelf.stored()
    assert shelf.keep({"guide.md": GUIDE}) == Outcome(chunks=3, embedded=0, unchanged=3, removed=0)
    assert len(embeddings_double.requests) == 1
    assert shelf.stored() == before


def test_a_chunk_is_embedded_with_its_title_and_headings(shelf: Library, embeddings_double: EmbeddingsServer) -> None:
    shelf.keep({"guide.md": GUIDE})
    assert "Guide\nInstall\nrun the installer" in embeddings_double.texts


def test_of_a_changed_file_only_the_changed_chunk_is_embedded(
    shelf: Library, embeddings_double: EmbeddingsServer
) -> None:
    shelf.keep({"guide.md": GUIDE})
    embeddings_double.requests.clear()
    assert shelf.keep({"guide.md": GUIDE.replace("introduction", "a longer opening")}) == Outcome(3, 1, 2, 1)
    assert embeddings_double.texts == ["Guide\na longer opening"]


def test_chunks_that_moved_keep_their_embedding_and_get_their_new_place(
    shelf: Library, embeddings_double: EmbeddingsServer
) -> None:
    shelf.keep({"guide.md": GUIDE})
    moved = GUIDE.replace("introduction", "introduction, now longer")
    shelf.keep({"guide.md": moved})
    assert {moved[place["start"] : place["end"]] for place in shelf.stored().values()} == {
        "introduction, now longer",
        "run the installer",
        "ask a question",
    }


def test_equal_chunks_of_one_document_are_all_kept(shelf: Library) -> None:
    twice = "# Guide\n\n## Note\n\nthe same\n\n## Note\n\nthe same\n"
    assert shelf.keep({"guide.md": twice}).chunks == 2
    assert len(shelf.stored()) == 2


def test_a_removed_file_leaves_the_index(shelf: Library) -> None:
    shelf.keep({"guide.md": GUIDE, "notes.md": NOTES})
    assert shelf.keep({"notes.md": NOTES}) == Outcome(chunks=1, embedded=0, unchanged=1, removed=3)
    assert {place["uri"] for place in shelf.stored().values()} == {"notes.md"}


def test_another_teams_documents_are_left_alone(shelf: Library) -> None:
    other = new_id()
    shelf.keep({"guide.md": GUIDE}, other)
    assert shelf.keep({"guide.md": GUIDE}).embedded == 3
    assert shelf.keep({}).removed == 3
    assert len(shelf.stored(other)) == 3
    assert shelf.stored(DEFAULT_TEAM_ID) == {}


def test_a_run_that_was_cut_short_goes_on_where_it_stopped(shelf: Library, embeddings_double: EmbeddingsServer) -> None:
    files = {"manual.md": manual(2 * BATCH + 10)}
    embeddings_double.answers_left = 1
    with pytest.raises(IngestionFailed, match="embeddings endpoint"):
        shelf.keep(files)
    embeddings_double.answers_left = None
    assert shelf.keep(files) == Outcome(chunks=2 * BATCH + 10, embedded=BATCH + 10, unchanged=BATCH, removed=0)
    assert len(embeddings_double.texts) == len(set(embeddings_double.texts)) == 2 * BATCH + 10


def test_weights_follow_the_real_length_of_chunks(shelf: Library) -> None:
    shelf.keep({"notes.md": NOTES})
    [short] = shelf.stored().values()
    assert short["avg_len"] == short["length"] == len(bm25.terms("Notes\nremember the milk"))
    shelf.keep({"notes.md": NOTES, "long.md": "# Long\n\n" + "many different words stand here " * 5})
    lengths = [place["length"] for place in shelf.stored().values()]
    assert {place["avg_len"] for place in shelf.stored().values()} == {sum(lengths) / 2}


def test_a_small_change_of_the_mean_length_rewrites_nothing(shelf: Library) -> None:
    shelf.keep({"manual.md": manual(50)})
    before = {key: place["avg_len"] for key, place in shelf.stored().items()}
    shelf.keep({"manual.md": manual(51)})
    after = shelf.stored()
    assert {key: after[key]["avg_len"] for key in before} == before
    assert len({place["avg_len"] for place in after.values()}) == 1


def test_new_weights_of_an_old_chunk_are_those_of_a_fresh_index(
    shelf: Library, qdrant_url: str, embeddings_double: EmbeddingsServer
) -> None:
    long = "# Long\n\n" + "many different words stand here " * 5
    shelf.keep({"notes.md": NOTES})
    shelf.keep({"notes.md": NOTES, "long.md": long})
    fresh = Library(retrieval_settings(qdrant_url, embeddings_double.base_url))
    fresh.keep({"notes.md": NOTES, "long.md": long})
    assert shelf.vectors() == fresh.vectors()


def test_a_collection_of_another_model_is_refused_in_one_sentence(
    shelf: Library, embeddings_double: EmbeddingsServer
) -> None:
    shelf.keep({"guide.md": GUIDE})
    other = Library(shelf.settings.model_copy(update={"embedding_model": "another"}))
    with pytest.raises(
        IngestionFailed, match=r"was made for the model minilm-l6, not for another: set EMBEDDING_MODEL"
    ):
        other.keep({"guide.md": GUIDE, "notes.md": NOTES})
    assert len(embeddings_double.requests) == 1


def test_a_collection_of_another_size_is_refused_in_one_sentence(
    shelf: Library, embeddings_double: EmbeddingsServer
) -> None:
    shelf.keep({"guide.md": GUIDE})
    embeddings_double.dimensions = 8
    with pytest.raises(IngestionFailed, match=r"made for vectors of 16 dimensions, not for the 8 of minilm-l6"):
        shelf.keep({"notes.md": NOTES})


def test_a_vector_store_that_is_away_is_said_in_one_sentence(embeddings_double: EmbeddingsServer) -> None:
    away = Library(retrieval_settings("http://127.0.0.1:9", embeddings_double.base_url))
    with pytest.raises(IngestionFailed, match="The vector store could not be used"):
        away.keep({"guide.md": GUIDE})
    assert embeddings_double.requests == []


@pytest.mark.parametrize("url", ["http://[::1", "https://[::1"])
def test_an_address_that_is_none_is_said_in_one_sentence(url: str, embeddings_double: EmbeddingsServer) -> None:
    with pytest.raises(IngestionFailed, match="QDRANT_URL cannot be used"):
        Library(retrieval_settings(url, embeddings_double.base_url)).keep({"guide.md": GUIDE})


@pytest.mark.parametrize("url", ["https://qdrant.example.com", "http://127.0.0.1:6333/behind/a/path"])
def test_ingestion_writes_where_the_search_reads(url: str) -> None:
    library = Library(retrieval_settings(url, NOWHERE))
    with open_collection(library.settings, DEFAULT_TEAM_ID) as collection:
        written = collection.client.http.client.host.rstrip("/")
    assert library.retriever.query_url.startswith(f"{written}/collections/")


def test_a_heading_that_is_the_title_is_searched_once() -> None:
    assert searched_text({"title": "Guide", "headings": ["Guide", "Use"], "text": "words"}) == "Guide\nUse\nwords"
