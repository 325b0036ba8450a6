"""What clients receive, byte for byte, of turns in special circumstances; written down as in `test_golden_streams`."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import pytest

from tests.doubles.proxy import PostgresProxy
from tests.fixtures.people import Asker, someone
from tests.fixtures.retrieval import Library
from tests.fixtures.web import Deploy, Deployment
from tests.golden.openai_answers import ANSWERS, END, says
from tests.golden.recording import ASKED, DIALECTS, MARKS, Dialect, Golden, Question, Stream, opened, question
from tests.golden.upstream import Reader, Upstream, answer

ENDLESS: Final = answer(says("Bees"), says(" dance ["), end="open")
SEARCH: Final = ("qdrant_url", "qdrant_collection", "retrieval_timeout", "embedding_base_url", "embedding_model")
_ID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
AGAIN: Final[tuple[Literal["native", "team"], ...]] = ("native", "team")


async def at(deploy: Deploy, upstream: Upstream, **settings: Any) -> Deployment:
    """Start a Parley that asks this upstream."""
    return await deploy(openai_base_url=f"{upstream.url}/v1", **settings)


async def read(upstream: Upstream, asker: Asker, asked: Question, dialect: Dialect) -> Stream:
    """Read an answer in a dialect, each piece of it before the next is sent."""
    upstream.reader = Reader(MARKS[dialect])
    stream = await Stream(asker, asked, upstream.reader).read()
    assert upstream.late == []
    return stream


async def in_each_dialect(upstream: Upstream, asker: Asker, conversation: str) -> dict[Dialect, Stream]:
    """Return the streams of a question in each dialect."""
    return {each: await read(upstream, asker, question(conversation, each), each) for each in DIALECTS}


async def again(asker: Asker, stream: Stream) -> dict[str, Stream]:
    """Return the streams of an answer that is taken up again."""
    return {f"{each}, again": await Stream(asker, await stream.taken_up(each)).read() for each in AGAIN}


def told(streams: Mapping[Any, Stream]) -> dict[str, bytes]:
    """Return what these streams tell."""
    return {name: stream.told for name, stream in streams.items()}


@asynccontextmanager
async def reading(stream: Stream) -> AsyncGenerator[asyncio.Task[Stream]]:
    """Read a stream meanwhile, to its end."""
    async with asyncio.TaskGroup() as tasks:
        yield tasks.create_task(stream.read())


async def test_the_headers(deploy: Deploy, upstream: Upstream) -> None:
    asker = await someone(await at(deploy, upstream))
    upstream.answer = ANSWERS["plain"]
    streams = await in_each_dialect(upstream, asker, await opened(asker))
    streams |= await again(asker, streams["native"])
    Golden("turns", "headers").holds({name: stream.head for name, stream in streams.items()})


async def test_passages_that_were_found(deploy: Deploy, upstream: Upstream, shelf: Library) -> None:
    shelf.keep({"bees.md": "# Bees\n\n## Dänces\n\nBees dance.", "ants.txt": "Ants march.\nIn a row."})
    parley = await at(deploy, upstream, **{name: getattr(shelf.settings, name) for name in SEARCH})
    asker = await someone(parley)
    upstream.answer = answer(says("Bees dance [1]"), says(" and ants [2, 9] march."), says(" [3] x[0] `y[4]`"), *END)
    streams = await in_each_dialect(upstream, asker, await opened(asker))
    Golden("turns", "passages").holds(told(streams | await again(asker, streams["native"])))


async def test_a_passage_that_the_reader_marked(deploy: Deploy, upstream: Upstream) -> None:
    asker = await someone(await at(deploy, upstream))
    upstream.answer = ANSWERS["false citations"]
    body = {"message": {"content": ASKED, "metadata": {"context": {"selected_text": 'Bees "dance".\n'}}}}
    asked = Question("POST", "/api/v1/chat/stream", {"json": body})
    both: dict[Dialect, Question] = {"book": asked, "native": asked.but(params={"protocol": "native"})}
    streams = {dialect: await read(upstream, asker, each, dialect) for dialect, each in both.items()}
    Golden("turns", "a passage that was marked").holds(told(streams))


async def test_a_search_that_is_away(deploy: Deploy, upstream: Upstream) -> None:
    nowhere = {"qdrant_url": "http://127.0.0.1:9", "embedding_base_url": "http://127.0.0.1:9/v1"}
    asker = await someone(await at(deploy, upstream, **nowhere, embedding_model="none"))
    upstream.answer = ANSWERS["plain"]
    Golden("turns", "without a search").holds(told(await in_each_dialect(upstream, asker, await opened(asker))))


@pytest.mark.parametrize("name", ["plain", "an error after a word", "an error at once"])
async def test_a_database_that_is_away(deploy: Deploy, upstream: Upstream, proxy: PostgresProxy, name: str) -> None:
    asker = await someone(await at(deploy, upstream, DATABASE_URL=proxy.url))
    conversation = await opened(asker)
    upstream.answer = ANSWERS[name]
    proxy.refuse()
    Golden("turns", f"without a database, {name}").holds(told(await in_each_dialect(upstream, asker, conversation)))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_answer_that_is_stopped(deploy: Deploy, upstream: Upstream, dialect: Dialect) -> None:
    asker = await someone(await at(deploy, upstream))
    upstream.answer, upstream.reader = ENDLESS, Reader(MARKS[dialect])
    stream = Stream(asker, question(await opened(asker), dialect), upstream.reader)
    async with reading(stream):
        await upstream.said_all.wait()
        stop = Stream(asker, Question("POST", f"{await stream.answer_path()}/stop", {}))
        await stop.read()
    sections = told({dialect: stream} | await again(asker, stream))
    Golden("turns", f"stopped, {dialect}").holds({"stop": _ID.sub(b"<id>", stop.told)} | sections)


@pytest.mark.parametrize("after", ["", "2.2.0.0", "3.0.0.0"])
@pytest.mark.parametrize("dialect", AGAIN)
async def test_an_answer_that_is_followed_while_it_is_written(
    deploy: Deploy, upstream: Upstream, dialect: Literal["native", "team"], after: str
) -> None:
    asker = await someone(await at(deploy, upstream))
    upstream.answer, upstream.reader = answer(says("Bees"), says(" dance."), *END), Reader(MARKS[dialect])
    stream = Stream(asker, question(await opened(asker), "native"))
    async with reading(stream):
        following = Stream(asker, await stream.taken_up(dialect, after), upstream.reader)
        async with reading(following):
            pass
    assert upstream.late == []
    Golden("turns", f"followed, {dialect}, {after}").holds({dialect: following.told})


@pytest.mark.parametrize("dialect", AGAIN)
async def test_an_answer_that_is_taken_up_where_it_broke(
    deploy: Deploy, upstream: Upstream, dialect: Literal["native", "team"]
) -> None:
    asker = await someone(await at(deploy, upstream))
    upstream.answer = ANSWERS["reasoning and text in turn"]
    stream = await Stream(asker, question(await opened(asker), "native")).read()
    places = ("1.0.0.0", "2.0.1.0", "2.2.2.0", "2.4.4.0", "3.5.5.0", "9.5.5.0", "9.9.9.9")
    streams = {after: await Stream(asker, await stream.taken_up(dialect, after)).read() for after in places}
    Golden("turns", f"taken up, {dialect}").holds(told(streams))


@pytest.mark.parametrize("name", ["plain", "an error after a word"])
async def test_a_question_that_comes_again(deploy: Deploy, upstream: Upstream, name: str) -> None:
    asker = await someone(await at(deploy, upstream))
    upstream.answer = ANSWERS[name]
    conversation, streams = await opened(asker), dict[str, Stream]()
    for dialect in DIALECTS:
        for time in ("", ", again"):
            asked = question(conversation, dialect).but(headers={"Idempotency-Key": dialect})
            streams[dialect + time] = await read(upstream, asker, asked, dialect)
    assert upstream.asked == len(DIALECTS)
    Golden("turns", f"asked again, {name}").holds(told(streams))


@pytest.mark.parametrize("name", ["plain", "an error after a word"])
async def test_an_answer_in_one_piece(deploy: Deploy, upstream: Upstream, name: str) -> None:
    asker = await someone(await at(deploy, upstream))
    upstream.answer = ANSWERS[name]
    conversation = await opened(asker)
    asked = {
        "the book's": Question("POST", "/api/v1/chat", question(conversation, "book").more),
        "the flow's": Question("POST", "/conversations/chat", flow(conversation)),
    }
    streams = {way: await Stream(asker, each).read() for way, each in asked.items()}
    Golden("turns", f"whole, {name}").holds({way: _ID.sub(b"<id>", said) for way, said in told(streams).items()})


async def test_the_flow_s_stream(deploy: Deploy, upstream: Upstream) -> None:
    asker = await someone(await at(deploy, upstream))
    upstream.answer = ANSWERS["plain"]
    asked = Question("POST", "/conversations/chat/stream", flow(await opened(asker)))
    Golden("turns", "flow").holds({"native": (await read(upstream, asker, asked, "native")).told})


def flow(conversation: str) -> dict[str, Any]:
    """Return the flow's body of a question."""
    return {"json": {"message": ASKED, "conversation_id": conversation}}


async def test_a_model_that_falls_silent(deploy: Deploy, upstream: Upstream) -> None:
    asker = await someone(await at(deploy, upstream, agent_timeout=0.9))
    upstream.answer = ENDLESS
    Golden("turns", "silent").holds(told(await in_each_dialect(upstream, asker, await opened(asker))))


async def test_another_provider_that_answers_in_place_of_the_first(deploy: Deploy, upstream: Upstream) -> None:
    async with Upstream() as failing:
        failing.answer = ANSWERS["status 500"]
        settings = {"vllm_endpoint": f"{upstream.url}/v1", "providers": ["openai", "vllm:second-1"]}
        asker = await someone(await deploy(openai_base_url=f"{failing.url}/v1", **settings))
        upstream.answer = ANSWERS["plain"]
        Golden("turns", "the second provider").holds(told(await in_each_dialect(upstream, asker, await opened(asker))))


async def test_a_reader_who_left_where_that_ends_the_answer(deploy: Deploy, upstream: Upstream) -> None:
    asker = await someone(await at(deploy, upstream, disconnect="cancel"))
    upstream.answer, upstream.reader = answer(says("Bees"), end="open"), Reader(MARKS["native"])
    stream = Stream(asker, question(await opened(asker), "native"), upstream.reader)
    left = asyncio.create_task(stream.read())
    await upstream.said_all.wait()
    left.cancel()
    await asyncio.wait((left,))
    Golden("turns", "left").holds(told(await again(asker, stream)))
