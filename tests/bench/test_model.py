"""How the benchmark's model keeps its pace, and holds back."""

import asyncio
from collections.abc import Iterator

import pytest

from bench.model import Answers, Connection, Wheel, answers
from bench.wire import MARK

CHUNKS = 20
ASKED = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


class _Socket(asyncio.Transport):
    """Keeps what is written, a write each."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    @property
    def tokens(self) -> int:
        return sum(data.count(MARK.encode()) for data in self.written)


class _Clock(Wheel):
    """A wheel that turns when it is told to."""

    def __init__(self, pace: int) -> None:
        super().__init__(pace)
        self.at = 0

    def now(self) -> int:
        return self.at

    @property
    def is_empty(self) -> bool:
        return not any(self._slots)

    def to(self, at: int) -> None:
        self.at = at
        self._turn()


@pytest.fixture(scope="module")
def says() -> Answers:
    return answers(CHUNKS)


@pytest.fixture
async def wheel() -> _Clock:
    return _Clock(5)


@pytest.fixture
def connected(says: Answers, wheel: _Clock) -> Iterator[tuple[Connection, _Socket]]:
    connection, socket = Connection(says, wheel), _Socket()
    connection.connection_made(socket)
    connection.data_received(ASKED)
    yield connection, socket
    connection.connection_lost(None)


async def test_the_first_token_leaves_with_the_head_and_one_more_a_pace(
    wheel: _Clock, connected: tuple[Connection, _Socket]
) -> None:
    _, socket = connected
    seen: list[int] = []
    for at in range(1, 21):
        wheel.to(at)
        seen.append(socket.tokens)
    assert seen == [1 + at // 5 for at in range(1, 21)]


async def test_tokens_that_are_due_together_leave_together_and_the_pace_is_caught_up(
    wheel: _Clock, connected: tuple[Connection, _Socket]
) -> None:
    _, socket = connected
    wheel.to(27)
    assert (len(socket.written), socket.tokens) == (2, 6)
    wheel.to(30)
    assert socket.tokens == 7


async def test_a_slow_reader_holds_the_model_back_and_gets_all_that_is_due_once_it_reads(
    wheel: _Clock, connected: tuple[Connection, _Socket]
) -> None:
    connection, socket = connected
    connection.pause_writing()
    wheel.to(40)
    assert socket.tokens == 1
    connection.resume_writing()
    assert socket.tokens == 9


async def test_an_answer_ends_and_the_next_request_is_answered_too(
    says: Answers, wheel: _Clock, connected: tuple[Connection, _Socket]
) -> None:
    connection, socket = connected
    wheel.to(1000)
    assert b"".join(socket.written) == says.plain.before + b"".join(says.plain.pieces) + says.plain.after
    assert wheel.is_empty
    for part in (ASKED[:20], ASKED[20:-1], ASKED[-1:]):
        assert socket.tokens == CHUNKS
        connection.data_received(part)
    assert socket.tokens == CHUNKS + 1


async def test_without_a_pace_the_reader_alone_sets_it(says: Answers) -> None:
    connection = Connection(answers(1000), None)

    class Full(_Socket):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            super().write(data)
            if len(self.written) == 3:
                connection.pause_writing()

    socket = Full()
    connection.connection_made(socket)
    connection.data_received(ASKED)
    assert socket.tokens == 128
    connection.resume_writing()
    assert socket.tokens == 1000
    assert socket.written[-1].endswith(b"0\r\n\r\n")
