from uuid import uuid5

import pytest

from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.rag.retrieve import MAX_QUERY, Mode, Retriever, Scope
from lib.rag.schema import chapter_slug, document_id
from tests.fixtures.retrieval import Library, retrieval_settings

DOGS = """# Pets

## Feeding dogs

Puppies eat three meals a day until they are six months old.

### Treats

A puppy may have a carrot between meals.

## Keeping cats

A kitten sleeps sixteen hours a day.
"""
CARS = "# Vehicles\n\n## Tyres\n\nCheck the air pressure of a car every month. Error code XJ-4471 means a leak.\n"
MODES: tuple[Mode, ...] = ("fused", "dense", "sparse")


@pytest.fixture
def pets_and_cars(library: Library) -> Library:
    library.keep({"docs/pets.md": DOGS, "docs/cars.md": CARS})
    return library


async def test_a_question_is_answered_by_the_passage_about_it(pets_and_cars: Library) -> None:
    [best, *_] = await pets_and_cars.retriever.search("How often do young dogs eat?", team_id=DEFAULT_TEAM_ID)
    assert best.text == "Puppies eat three meals a day until they are six months old."
    assert best.title == "Pets"
    assert best.headings == ("Pets", "Feeding dogs")
    assert best.uri == "docs/pets.md"
    assert best.document_id == str(uuid5(DEFAULT_TEAM_ID, "docs/pets.md"))
    assert DOGS[best.start : best.end] == best.text


async def test_meaning_finds_what_shares_no_word(pets_and_cars: Library) -> None:
    [best] = await pets_and_cars.retriever.search(
        "nutrition of a young canine", team_id=DEFAULT_TEAM_ID, limit=1, mode="dense"
    )
    assert "Feeding dogs" in best.headings


async def test_words_find_a_code_that_means_nothing(pets_and_cars: Library) -> None:
    [best] = await pets_and_cars.retriever.search("XJ-4471", team_id=DEFAULT_TEAM_ID, mode="sparse")
    assert best.uri == "docs/cars.md"


async def test_a_rare_word_outweighs_a_common_one(library: Library) -> None:
    common = {f"{i}.md": f"server number {i} restarts" for i in range(6)}
    library.keep({**common, "rare.md": "server quorum lost", "twice.md": "server server server"})
    found = await library.retriever.search("server quorum", team_id=DEFAULT_TEAM_ID, mode="sparse")
    assert found[0].uri == "rare.md"


async def test_at_most_limit_passages_come_back_best_first(pets_and_cars: Library) -> None:
    for mode in MODES:
        found = await pets_and_cars.retriever.search("a puppy eats", team_id=DEFAULT_TEAM_ID, limit=2, mode=mode)
        assert len(found) == 2
        assert found[0].score >= found[1].score


@pytest.mark.parametrize("mode", MODES)
async def test_another_teams_passages_never_come_back(library: Library, mode: Mode) -> None:
    ours, theirs = new_id(), new_id()
    library.keep({"docs/pets.md": DOGS}, ours)
    library.keep({"docs/pets.md": DOGS, "docs/cars.md": CARS}, theirs)
    found = await library.retriever.search("car tyres and puppies", team_id=ours, limit=50, mode=mode)
    assert {passage.document_id for passage in found} == {document_id(ours, "docs/pets.md")}
    of_theirs = Scope(document_id=document_id(theirs, "docs/cars.md"))
    assert await library.retriever.search("car tyres", team_id=ours, scope=of_theirs, mode=mode) == ()
    assert await library.retriever.search("car tyres", team_id=new_id(), mode=mode) == ()


@pytest.mark.parametrize("mode", MODES)
async def test_a_scope_narrows_to_a_document(pets_and_cars: Library, mode: Mode) -> None:
    scope = Scope(document_id=document_id(DEFAULT_TEAM_ID, "docs/cars.md"))
    found = await pets_and_cars.retriever.search("a car for puppies", team_id=DEFAULT_TEAM_ID, scope=scope, mode=mode)
    assert [passage.uri for passage in found] == ["docs/cars.md"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chapter", ["feeding-dogs", "Feeding dogs"])
async def test_a_scope_narrows_to_a_chapter_and_what_is_below_it(
    pets_and_cars: Library, mode: Mode, chapter: str
) -> None:
    found = await pets_and_cars.retriever.search(
        "puppies, meals, a kitten", team_id=DEFAULT_TEAM_ID, scope=Scope(chapter=chapter), mode=mode
    )
    assert {passage.headings[1:] for passage in found} == {("Feeding dogs",), ("Feeding dogs", "Treats")}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("query", ["", "  \n", "the", "?!", "\ud800", "😀" * 5000, "puppy " * 100_000])
async def test_any_query_is_answered(pets_and_cars: Library, mode: Mode, query: str) -> None:
    found = await pets_and_cars.retriever.search(query, team_id=DEFAULT_TEAM_ID, mode=mode)
    assert isinstance(found, tuple)


async def test_of_a_long_query_both_ends_are_searched_for(pets_and_cars: Library) -> None:
    filler = "nothing " * MAX_QUERY
    for query in (f"XJ-4471 {filler}", f"{filler} XJ-4471"):
        found = await pets_and_cars.retriever.search(query, team_id=DEFAULT_TEAM_ID, mode="sparse")
        assert [passage.uri for passage in found] == ["docs/cars.md"]


def test_without_a_vector_store_or_embeddings_there_is_no_retriever() -> None:
    assert Retriever.from_settings(retrieval_settings(None, "http://127.0.0.1:9/v1")) is None
    assert Retriever.from_settings(retrieval_settings("http://127.0.0.1:9", None)) is None


def test_a_retriever_shows_no_key() -> None:
    settings = retrieval_settings("http://h", "http://h/v1", qdrant_api_key="sesame", embedding_api_key="sesame")
    assert "sesame" not in repr(Retriever.from_settings(settings))


@pytest.mark.parametrize(
    ("heading", "slug"),
    [("Getting Started!", "getting-started"), ("  n8n (2.8.4) ", "n8n-2-8-4"), ("Größe_B", "grösse-b"), ("?", "")],
)
def test_a_heading_has_a_slug(heading: str, slug: str) -> None:
    assert chapter_slug(heading) == slug
