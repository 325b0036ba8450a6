"""What a question costs that was asked before, or is being asked by somebody else."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from lib.breaker import THRESHOLD, Breaker
from lib.errors import RetrievalUnavailable
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.rag.embed import Embedder
from lib.rag.embedded import KEPT, Embedded
from lib.rag.retrieve import Retriever
from lib.rag.wire import ServiceFailed
from tests.doubles.embeddings_server import EmbeddingsServer
from tests.doubles.search_services import NOTHING, Service, numbers, serving
from tests.fixtures.retrieval import Library, retrieval_settings

QUESTION = "how do I reset my passphrase"


@pytest.fixture
async def endpoint() -> AsyncGenerator[tuple[Service, Embedder]]:
    """Embeddings, and who asks them."""
    async with serving(numbers(4)) as (service, url):
        yield service, Embedder(url, "double")


@asynccontextmanager
async def searching(*, budget: float = 20.0) -> AsyncGenerator[tuple[Retriever, Service, Service]]:
    async with serving(numbers(4)) as (embeddings, embeddings_url), serving(NOTHING) as (store, store_url):
        settings = retrieval_settings(store_url, embeddings_url, retrieval_timeout=budget)
        retriever = Retriever.from_settings(settings)
        assert retriever is not None
        yield retriever, embeddings, store


async def search(retriever: Retriever, question: str = QUESTION) -> None:
    await retriever.search(question, team_id=DEFAULT_TEAM_ID)


async def test_a_question_that_is_asked_again_finds_the_same_and_is_embedded_once(
    shelf: Library, embeddings_double: EmbeddingsServer
) -> None:
    shelf.keep({"a.md": "# Keys\n\nA passphrase is reset under Account.", "b.md": "# Doors\n\nThey are green."})
    retriever = shelf.retriever
    embedded = len(embeddings_double.requests)
    first, second = [await retriever.search(QUESTION, team_id=DEFAULT_TEAM_ID) for _ in range(2)]
    assert first == second
    assert first[0].uri == "a.md"
    assert len(embeddings_double.requests) == embedded + 1


async def test_the_vector_store_is_asked_each_time() -> None:
    async with searching() as (retriever, embeddings, store):
        for _ in range(3):
            await search(retriever)
        assert (embeddings.asked, store.asked) == (1, 3)


async def test_two_that_ask_the_same_at_once_share_a_call(endpoint: tuple[Service, Embedder]) -> None:
    service, embedder = endpoint
    embedded = Embedded()
    service.hold()
    both = [asyncio.create_task(embedded.ask(embedder, QUESTION, team_id=DEFAULT_TEAM_ID)) for _ in range(2)]
    await service.is_asked()
    service.release()
    first, second = await asyncio.gather(*both)
    assert first == second
    assert bytes(first) == b"[0.25,0.25,0.25,0.25]"
    assert service.asked == 1


async def test_whoever_leaves_takes_the_call_from_nobody_else(endpoint: tuple[Service, Embedder]) -> None:
    service, embedder = endpoint
    embedded = Embedded()
    service.hold()
    began, joined = [asyncio.create_task(embedded.ask(embedder, QUESTION, team_id=DEFAULT_TEAM_ID)) for _ in range(2)]
    await service.is_asked()
    began.cancel()
    await asyncio.wait([began])
    service.release()
    assert bytes(await joined) == b"[0.25,0.25,0.25,0.25]"
    assert service.asked == 1


async def test_a_call_that_nobody_waits_for_any_more_ends(endpoint: tuple[Service, Embedder]) -> None:
    service, embedder = endpoint
    embedded = Embedded()
    service.hold()
    both = [asyncio.create_task(embedded.ask(embedder, QUESTION, team_id=DEFAULT_TEAM_ID)) for _ in range(2)]
    await service.is_asked()
    for asking in both:
        asking.cancel()
    await asyncio.wait(both)
    late = asyncio.create_task(embedded.ask(embedder, QUESTION, team_id=DEFAULT_TEAM_ID))
    async with asyncio.timeout(5):
        await service.left.wait()
    await service.is_asked()
    service.release()
    assert bytes(await late) == b"[0.25,0.25,0.25,0.25]"
    assert service.asked == 2


async def test_a_call_that_failed_is_told_to_all_who_waited_and_not_kept(endpoint: tuple[Service, Embedder]) -> None:
    service, embedder = endpoint
    embedded = Embedded()
    service.status = 500
    service.hold()
    both = [asyncio.create_task(embedded.ask(embedder, QUESTION, team_id=DEFAULT_TEAM_ID)) for _ in range(2)]
    await service.is_asked()
    service.release()
    for asking in both:
        with pytest.raises(ServiceFailed):
            await asking
    service.status = 200
    assert embedded.recall(embedder, QUESTION, team_id=DEFAULT_TEAM_ID) is None
    await embedded.ask(embedder, QUESTION, team_id=DEFAULT_TEAM_ID)
    assert service.asked == 2


async def test_a_team_learns_nothing_of_what_another_has_asked(endpoint: tuple[Service, Embedder]) -> None:
    service, embedder = endpoint
    embedded = Embedded()
    ours, theirs = new_id(), new_id()
    service.hold()
    both = [asyncio.create_task(embedded.ask(embedder, QUESTION, team_id=team_id)) for team_id in (ours, theirs)]
    await service.is_asked()
    await service.is_asked()
    service.release()
    await asyncio.gather(*both)
    await embedded.ask(embedder, "of ours alone", team_id=ours)
    assert embedded.recall(embedder, "of ours alone", team_id=theirs) is None
    assert embedded.recall(embedder, "of ours alone", team_id=ours) is not None


async def test_each_model_embeds_for_itself(endpoint: tuple[Service, Embedder]) -> None:
    _, embedder = endpoint
    embedded = Embedded()
    await embedded.ask(embedder, QUESTION, team_id=DEFAULT_TEAM_ID)
    other = Embedder(embedder.base_url, "another")
    assert embedded.recall(other, QUESTION, team_id=DEFAULT_TEAM_ID) is None


async def test_no_question_is_kept(endpoint: tuple[Service, Embedder]) -> None:
    _, embedder = endpoint
    embedded = Embedded()
    await embedded.ask(embedder, QUESTION, team_id=DEFAULT_TEAM_ID)
    kept = repr(vars(embedded))
    assert "passphrase" not in kept
    assert "Raw" in kept


@pytest.mark.parametrize(("most", "most_bytes"), [(2, 1_000), (1_000, 2 * len("[0.25,0.25,0.25,0.25]"))])
async def test_those_are_kept_that_were_used_last(
    endpoint: tuple[Service, Embedder], most: int, most_bytes: int
) -> None:
    _, embedder = endpoint
    embedded = Embedded(most=most, most_bytes=most_bytes)

    def known() -> list[str]:
        # From the end: to look is to use.
        return [text for text in ("c", "b", "a") if embedded.recall(embedder, text, team_id=DEFAULT_TEAM_ID)]

    for text in ("a", "b"):
        await embedded.ask(embedder, text, team_id=DEFAULT_TEAM_ID)
    assert known() == ["b", "a"]
    await embedded.ask(embedder, "c", team_id=DEFAULT_TEAM_ID)
    assert known() == ["c", "a"]
    for _ in range(5):
        await embedded.ask(embedder, "c", team_id=DEFAULT_TEAM_ID)
    assert known() == ["c", "a"]


async def test_one_that_is_larger_than_all_may_be_is_used_and_not_kept(endpoint: tuple[Service, Embedder]) -> None:
    _, embedder = endpoint
    embedded = Embedded(most_bytes=20)
    assert len(bytes(await embedded.ask(embedder, QUESTION, team_id=DEFAULT_TEAM_ID))) == 21
    assert embedded.recall(embedder, QUESTION, team_id=DEFAULT_TEAM_ID) is None


async def test_one_is_kept_for_an_hour(endpoint: tuple[Service, Embedder]) -> None:
    _, embedder = endpoint
    now = [1_000.0]
    embedded = Embedded(clock=lambda: now[0])
    await embedded.ask(embedder, QUESTION, team_id=DEFAULT_TEAM_ID)
    now[0] += KEPT
    assert embedded.recall(embedder, QUESTION, team_id=DEFAULT_TEAM_ID) is not None
    now[0] += 1
    assert embedded.recall(embedder, QUESTION, team_id=DEFAULT_TEAM_ID) is None


async def test_one_that_the_vector_store_refused_is_asked_for_again() -> None:
    async with searching() as (retriever, embeddings, store):
        store.status = 400
        for _ in range(2):
            with pytest.raises(RetrievalUnavailable):
                await search(retriever)
        assert embeddings.asked == 2
        store.status = 503
        with pytest.raises(RetrievalUnavailable):
            await search(retriever)
        store.status = 200
        await search(retriever)
        assert embeddings.asked == 3


async def test_a_known_question_says_nothing_of_embeddings_that_are_away() -> None:
    async with searching() as (retriever, embeddings, store):
        await search(retriever)
        embeddings.status = 503
        for number in range(THRESHOLD):
            with pytest.raises(RetrievalUnavailable):
                await search(retriever, f"another question, {number}")
            if number + 1 < THRESHOLD:
                await search(retriever)
        assert retriever.breaker.is_open
        assert store.asked == THRESHOLD


async def test_whoever_looks_whether_the_services_are_back_asks_both() -> None:
    async with searching() as (made, embeddings, store):
        retriever = replace(made, breaker=Breaker(window=0))
        await search(retriever)
        embeddings.status = 503
        for number in range(THRESHOLD):
            with pytest.raises(RetrievalUnavailable):
                await search(retriever, f"another question, {number}")
        with pytest.raises(RetrievalUnavailable):
            await search(retriever)
        assert retriever.breaker.is_open
        embeddings.status = 200
        await search(retriever)
        assert not retriever.breaker.is_open
        assert (embeddings.asked, store.asked) == (1 + THRESHOLD + 2, 2)


@pytest.mark.alone
async def test_whoever_joins_a_call_that_stalls_waits_for_the_budget_and_no_longer() -> None:
    async with searching(budget=0.1) as (retriever, embeddings, _):
        embeddings.hold()
        loop = asyncio.get_running_loop()
        both = [asyncio.create_task(search(retriever)) for _ in range(2)]
        began = loop.time()
        for asking in both:
            with pytest.raises(RetrievalUnavailable):
                await asking
        assert loop.time() - began < 1.5
        assert embeddings.asked == 1
