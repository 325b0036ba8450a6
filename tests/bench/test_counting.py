"""What the benchmark's load sees of what its model says."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.load import Asked, Count, Figures, Request, Stream, load
from bench.model import answers, serve
from bench.wire import MARK, gemini, openai, workflow

CHUNKS = 40
DIALECTS = (openai(CHUNKS, usage=True), gemini(CHUNKS), workflow(CHUNKS))
PATHS = {
    "/v1/chat/completions": b"data: [DONE]",
    "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse": b'"finishReason":"STOP"',
    "/webhook/support": b'"type":"end"',
}


@asynccontextmanager
async def model(*, pace: int) -> AsyncGenerator[str]:
    async with await serve(CHUNKS, pace) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def scripted(*pieces: bytes, hangs_up: bool = False) -> AsyncGenerator[str]:
    """A server that answers with these bytes, a write each."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if not hangs_up:
            await reader.read()  # until the client does
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def asked(url: str, *, path: str = "/v1/chat/completions", streams: int = 1, **more: Any) -> Asked:
    given: dict[str, Any] = {"tokens": CHUNKS, "end": PATHS.get(path, b""), "patience": 10.0}
    return Asked(url=url, requests=[Request(path, b"{}")] * streams, **given | more)


def chunked(*data: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (*data, b""))


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("pace", [0, 1])
async def test_every_token_of_every_stream_is_counted_once_in_every_dialect(path: str, pace: int) -> None:
    async with model(pace=pace) as url:
        figures = await load(asked(url, path=path, streams=5))
    assert figures.tokens == 5 * CHUNKS
    assert figures.errors == {}
    assert (figures.answers, len(figures.first)) == (5, 5)


async def test_a_stream_asks_again_until_the_window_is_over_and_is_then_read_to_its_end() -> None:
    async with model(pace=1) as url:
        figures = await load(asked(url, streams=3, spread=0.01, seconds=0.2))
    assert figures.errors == {}
    assert figures.answers > 3
    assert 0 < figures.tokens <= figures.answers * CHUNKS


async def test_the_usage_is_told_to_whoever_asks_for_it() -> None:
    asking = Request("/v1/chat/completions", b'{"stream_options":{"include_usage":true}}')
    async with model(pace=0) as url:
        figures = await load(Asked(url=url, requests=[asking], tokens=CHUNKS, end=b'"completion_tokens":40'))
    assert figures.errors == {}


@pytest.mark.parametrize(("tokens", "wrong"), [(CHUNKS + 1, "a token missing"), (CHUNKS - 1, "a token too many")])
async def test_an_answer_with_another_number_of_tokens_is_an_error(tokens: int, wrong: str) -> None:
    async with model(pace=0) as url:
        figures = await load(asked(url, tokens=tokens))
    assert figures.errors == {wrong: 1}


async def test_an_answer_without_its_end_mark_is_an_error() -> None:
    async with model(pace=0) as url:
        figures = await load(asked(url, end=b'"saved":true'))
    assert figures.errors == {"without its end": 1}


async def test_what_an_answer_says_again_at_its_end_counts_once() -> None:
    whole = MARK.encode() * CHUNKS
    async with scripted(HEAD + chunked(whole, whole, b"the end")) as url:
        figures = await load(asked(url, repeats=CHUNKS, end=b"the end"))
    assert (figures.tokens, figures.errors) == (CHUNKS, {})


async def test_a_refusal_is_an_error_by_its_status() -> None:
    async with scripted(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n") as url:
        figures = await load(asked(url))
    assert (figures.tokens, figures.errors) == (0, {"status 503": 1})


async def test_a_connection_that_breaks_off_is_an_error() -> None:
    async with scripted(HEAD + b"5\r\nab%bcd\r\n" % MARK.encode(), hangs_up=True) as url:
        figures = await load(asked(url))
    assert (figures.tokens, figures.errors) == (1, {"a token missing": 1})


async def test_an_answer_that_never_ends_is_an_error() -> None:
    async with scripted(HEAD + chunked(MARK.encode() * CHUNKS)[:-5]) as url:
        figures = await load(asked(url, patience=0.05))
    assert figures.errors == {"took too long": 1}


class _Socket(asyncio.Transport):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def close(self) -> None:
        pass


@example(cuts=range(20_000), dialect=0)  # byte by byte
@given(cuts=st.lists(st.integers(0, 12_000)), dialect=st.sampled_from([0, 1, 2]))
def test_any_split_of_an_answer_counts_the_same(cuts: Sequence[int], dialect: int) -> None:
    answer, end = list(zip(DIALECTS, PATHS.values(), strict=True))[dialect]
    data = answer.before + b"".join(answer.pieces) + answer.after

    async def read() -> Figures:
        count = Count()
        count.counts = True
        stream = Stream(asked("http://127.0.0.1:1", end=end), Request("/", b""), count)
        stream.connection_made(_Socket())
        asking = asyncio.create_task(stream.ask())
        await asyncio.sleep(0)
        edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
        for start, stop in pairwise(edges):
            if start < stop:
                stream.data_received(data[start:stop])
        await asking
        return Figures(count.tokens, 0, [], count.answers, dict(count.errors), [])

    figures = _run(read())
    assert (figures.tokens, figures.errors) == (CHUNKS, {})


def _run(work: Coroutine[Any, Any, Figures]) -> Figures:
    with asyncio.Runner() as runner:
        return runner.run(work)


def test_a_token_on_the_wire_is_as_large_as_openais() -> None:
    for piece in answers(200).plain.pieces:
        assert 240 < len(piece) < 280
        assert piece.count(MARK.encode()) == 1
