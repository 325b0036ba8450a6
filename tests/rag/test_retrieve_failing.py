"""What a search does when a service it depends on does not do its part."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lib.errors import RetrievalUnavailable
from lib.ids import DEFAULT_TEAM_ID
from lib.rag.retrieve import Passage, Retriever
from tests.fixtures.retrieval import retrieval_settings

QUESTION = "how do I reset my passphrase"
KEY = "sesame-key"
PAYLOAD: dict[str, Any] = {
    "team_id": str(DEFAULT_TEAM_ID),
    "text": "Words.",
    "title": "Title",
    "headings": ["Title"],
    "uri": "a.md",
    "document_id": "d",
    "start": 0,
    "end": 6,
}
EMBEDDED = {"data": [{"index": 0, "embedding": [0.1, 0.2]}]}


def answer(body: object, status: str = "200 OK", *, headers: str = "") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n{headers}Connection: close\r\n\r\n".encode() + data


def found(**changes: Any) -> bytes:
    return answer({"result": {"points": [{"id": 1, "score": 0.5, "payload": PAYLOAD | changes}]}})


@asynccontextmanager
async def service(reply: bytes | None) -> AsyncGenerator[str]:
    """A server that sends these bytes to every request, or nothing for as long as it is asked."""
    over = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if reply is None:
            await over.wait()
        else:
            writer.write(reply)
        writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        try:
            yield f"http://{host}:{port}"
        finally:
            over.set()


async def search(embeddings: bytes | None, store: bytes | None, *, budget: float = 5.0) -> tuple[Passage, ...]:
    async with service(embeddings) as embeddings_url, service(store) as store_url:
        settings = retrieval_settings(
            store_url, embeddings_url, qdrant_api_key=KEY, embedding_api_key=KEY, retrieval_timeout=budget
        )
        retriever = Retriever.from_settings(settings)
        assert retriever is not None
        return await retriever.search(QUESTION, team_id=DEFAULT_TEAM_ID)


async def test_the_services_of_these_tests_work() -> None:
    [passage] = await search(answer(EMBEDDED), found())
    assert passage == Passage("Words.", "Title", ("Title",), "a.md", "d", 0, 6, 0.5)


@pytest.mark.alone
@pytest.mark.parametrize(("embeddings", "store"), [(None, found()), (answer(EMBEDDED), None)])
async def test_a_service_that_stalls_costs_the_time_budget_and_no_more(
    embeddings: bytes | None, store: bytes | None
) -> None:
    started = time.monotonic()
    with pytest.raises(RetrievalUnavailable):
        await search(embeddings, store, budget=0.2)
    assert 0.2 <= time.monotonic() - started < 1.5


GARBAGE: dict[str, bytes] = {
    "no HTTP": b"\x00\xff garbage\r\n\r\n",
    "nothing": b"",
    "cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
    "no JSON": answer(b"<html>"),
    "no UTF-8": answer(b'{"data": "\xff"}'),
    "nested deep": answer(b'{"x":' + b"[" * 100_000),
    "a list": answer([]),
    "null": answer(None),
    "another shape": answer({"result": {"points": "none"}, "data": {}}),
    "server error": answer({"status": {"error": "boom"}}, "500 Internal Server Error"),
    "no such collection": answer({"status": {"error": "Not found"}}, "404 Not Found"),
    "elsewhere": answer(b"", "307 Temporary Redirect", headers="Location: http://169.254.169.254/\r\n"),
    "endless": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b" " * (17 * 1024 * 1024),
}


@pytest.mark.parametrize("reply", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("place", ["embeddings", "store"])
async def test_an_answer_that_is_none_is_one_error(place: str, reply: bytes) -> None:
    with pytest.raises(RetrievalUnavailable):
        await (search(reply, found()) if place == "embeddings" else search(answer(EMBEDDED), reply))


@pytest.mark.parametrize(
    "changes",
    [
        {"text": None},
        {"text": ["a"]},
        {"headings": "Title"},
        {"headings": [1]},
        {"start": "0"},
        {"start": 0.5},
        {"end": None},
        {"uri": {"a": 1}},
        {"team_id": 7},
        {"team_id": "0b2f4a55-8c1d-4f6e-9a37-5d1c0e7b9f42"},
    ],
    ids=str,
)
async def test_a_payload_that_is_not_ours_is_one_error(changes: dict[str, Any]) -> None:
    with pytest.raises(RetrievalUnavailable):
        await search(answer(EMBEDDED), found(**changes))


@pytest.mark.parametrize(
    "rows", [b"[]", b'[{"embedding": []}]', b'[{"embedding": ["a"]}]', b'[{"embedding": [1e999]}]']
)
async def test_an_embedding_that_is_none_is_one_error(rows: bytes) -> None:
    with pytest.raises(RetrievalUnavailable):
        await search(answer(b'{"data": ' + rows + b"}"), found())


async def test_a_payload_with_more_in_it_is_a_passage() -> None:
    assert len(await search(answer(EMBEDDED), found(colour="green", chapters=[{}]))) == 1


async def test_a_service_that_refuses_is_one_error() -> None:
    retriever = Retriever.from_settings(retrieval_settings("http://127.0.0.1:9", "http://127.0.0.1:9/v1"))
    assert retriever is not None
    with pytest.raises(RetrievalUnavailable):
        await retriever.search(QUESTION, team_id=DEFAULT_TEAM_ID)


@pytest.mark.parametrize("url", ["http://", "http:// /", "http://[::1"])
async def test_an_address_that_is_none_is_one_error(url: str) -> None:
    retriever = Retriever.from_settings(retrieval_settings(url, "http://127.0.0.1:9/v1"))
    assert retriever is not None
    with pytest.raises(RetrievalUnavailable):
        await retriever.search(QUESTION, team_id=DEFAULT_TEAM_ID, mode="sparse")


@pytest.mark.parametrize(
    ("store", "cause"),
    [(GARBAGE["server error"], "vector store answered with status 500"), (None, "no answer within 0.2 s")],
)
async def test_the_cause_is_logged_once_without_the_question_or_a_key(
    store: bytes | None, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "parley.rag"), pytest.raises(RetrievalUnavailable):
        await search(answer(EMBEDDED), store, budget=0.2 if store is None else 5)
    [record] = [record for record in caplog.records if record.name == "parley.rag"]
    assert record.levelno == logging.WARNING
    assert cause in record.getMessage()
    assert not any(secret in caplog.text for secret in (KEY, "passphrase"))


async def test_whoever_cancels_a_search_is_obeyed() -> None:
    searching = asyncio.create_task(search(None, found()))
    await asyncio.sleep(0)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
