"""What a function leaves that was killed in the middle of an answer: what it had kept is told, and is the answer's."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import pytest

from lib.chat.batches import pack
from lib.chat.events import (
    ReasoningDelta,
    Source,
    Sources,
    Started,
    Status,
    TextDelta,
    TurnEvent,
    Usage,
)
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.jobs.reap import reap
from lib.store.unfinished import BATCH_WRITTEN, LONGEST_TURN
from tests.fixtures.people import Asker, someone
from tests.fixtures.streams import events, told
from tests.fixtures.web import Deployment, Rows

SOURCES = Sources(
    tuple(Source(number, f"Bees {number}", (), None, None, None, None, None, "Bees dance.") for number in (1, 2)),
    "used",
)
HOUR = 3600.0


@dataclass(frozen=True)
class Left:
    """An answer that a killed function left, whose it is, and what had been kept of it."""

    asker: Asker
    conversation_id: UUID
    id: UUID
    batches: Sequence[Sequence[TurnEvent]]

    @property
    def path(self) -> str:
        return f"/api/v1/conversations/{self.conversation_id}/messages/{self.id}"

    async def shown(self) -> tuple[str, str]:
        kept = (await self.asker.ask("GET", self.path)).json()
        return kept["status"], kept["content"]


async def leave(parley: Deployment, rows: Rows, *texts: str, seconds: float = 60, missing: int | None = None) -> Left:
    """Leave an answer that was begun so many seconds ago, with a batch for each text, but for one that was lost."""
    asker, conversation_id, message_id = await someone(parley), new_id(), new_id()
    await rows(
        "INSERT INTO conversations (id, team_id, user_id, title, answer_id, busy_until)"
        " VALUES (%s, %s, %s, 'left', %s, now() - interval '1 second')",
        *(conversation_id, DEFAULT_TEAM_ID, asker.id, message_id),
    )
    await rows(
        "INSERT INTO messages (id, team_id, conversation_id, role, status, parts, created_at)"
        " VALUES (%s, %s, %s, 'assistant', 'streaming', '[]', now() - make_interval(secs => %s))",
        *(message_id, DEFAULT_TEAM_ID, conversation_id, seconds),
    )
    before = (Started(conversation_id, message_id, saved=True), Status("Searching."), SOURCES, ReasoningDelta("Hm."))
    batches = [before, *([TextDelta(text)] for text in texts), [Usage(12, 4)]]
    for number, batch in enumerate(batches, 1):
        if number != missing:
            await rows(
                "INSERT INTO stream_events (message_id, team_id, number, events, created_at)"
                " VALUES (%s, %s, %s, %s, now() - make_interval(secs => %s))",
                *(message_id, DEFAULT_TEAM_ID, number, pack(batch), seconds - number),
            )
    return Left(asker, conversation_id, message_id, batches)


@pytest.fixture
async def nothing_left(rows: Rows) -> None:
    """No answer that other tests have left unfinished."""
    await rows("UPDATE messages SET status = 'interrupted' WHERE status = 'streaming'")
    await rows("DELETE FROM stream_events")


async def test_whoever_reads_it_is_told_what_there_was_and_that_it_is_over(parley: Deployment, rows: Rows) -> None:
    left = await leave(parley, rows, "One", " two [2]")
    read = events((await left.asker.ask("GET", f"{left.path}/stream")).text)
    assert [event.kind for event in read] == [
        *("started", "status", "sources", "reasoning", "text", "text", "usage", "failed")
    ]
    assert (told(read)["text"], read[-1].data["text"]) == ("One two [2]", "One two [2]")
    assert (read[-1].data["code"], read[-1].data["over"]) == ("interrupted", True)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("reaped", [False, True])
async def test_a_reader_is_told_its_end_once_wherever_they_were(parley: Deployment, rows: Rows, reaped: bool) -> None:
    left = await leave(parley, rows, "One", " two", seconds=HOUR)
    path = f"{left.path}/stream"
    whole = events((await left.asker.ask("GET", path)).text)
    if reaped:
        await reap(parley.instance.database)
    for number, event in enumerate(whole[:-1], 1):
        rest = await left.asker.ask("GET", path, headers={"Last-Event-ID": event.id})
        read = [*whole[:number], *events(rest.text)]
        assert (told(read)["text"], read[-1].kind, read[-1].data) == ("One two", "failed", whole[-1].data)
        assert len({each.id for each in read}) == len(read)
    assert (await left.asker.ask("GET", path, headers={"Last-Event-ID": whole[-1].id})).status_code == 204


async def test_a_reader_who_was_there_when_it_was_killed_is_told_its_end(parley: Deployment, rows: Rows) -> None:
    left = await leave(parley, rows, "One")
    await rows("UPDATE conversations SET busy_until = now() + interval '1 second' WHERE id = %s", left.conversation_id)
    read = events((await left.asker.ask("GET", f"{left.path}/stream")).text)
    assert (told(read)["text"], read[-1].kind, read[-1].data["text"]) == ("One", "failed", "One")


@pytest.mark.usefixtures("nothing_left")
async def test_the_job_keeps_what_there_was_as_the_answer(parley: Deployment, rows: Rows) -> None:
    left = await leave(parley, rows, "One", " two [2]", seconds=HOUR)
    assert await reap(parley.instance.database) == 1
    assert await left.shown() == ("interrupted", "One two [2]")
    (row,) = await rows("SELECT sources, retrieval, parts, input_tokens FROM messages WHERE id = %s", left.id)
    assert [source["cited"] for source in row["sources"]] == [False, True]
    assert (row["retrieval"], row["input_tokens"], row["parts"][1]["text"]) == ("used", 12, "Hm.")
    (log,) = await rows("SELECT * FROM interaction_logs WHERE message_id = %s", left.id)
    assert (log["id"], log["user_id"], log["outcome"], log["passages"]) == (left.id, left.asker.id, "interrupted", 2)
    assert 4000 <= log["total_ms"] < 5000
    assert await rows("SELECT 1 FROM stream_events") == []


@pytest.mark.usefixtures("nothing_left")
async def test_what_comes_behind_a_batch_that_is_missing_is_left_out(parley: Deployment, rows: Rows) -> None:
    left = await leave(parley, rows, "One", " two", " three", seconds=HOUR, missing=3)
    read = events((await left.asker.ask("GET", f"{left.path}/stream")).text)
    await reap(parley.instance.database)
    assert (told(read)["text"], await left.shown()) == ("One", ("interrupted", "One"))


@pytest.mark.usefixtures("nothing_left")
async def test_a_stop_leaves_out_what_comes_behind_a_batch_that_is_missing_and_tells_how_long_it_took(
    parley: Deployment, rows: Rows
) -> None:
    left = await leave(parley, rows, "One", " two", " three", missing=3)
    assert (await left.asker.ask("POST", f"{left.path}/stop")).json()["status"] == "stopped"
    assert await left.shown() == ("stopped", "One")
    (logged,) = await rows("SELECT outcome, total_ms, passages FROM interaction_logs WHERE message_id = %s", left.id)
    assert (logged["outcome"], logged["passages"]) == ("stopped", 2)
    assert 60_000 <= logged["total_ms"] < 70_000


@pytest.mark.usefixtures("nothing_left")
async def test_jobs_at_once_close_each_answer_once_and_more_than_one_batch_of_them(
    parley: Deployment, rows: Rows
) -> None:
    left = [await leave(parley, rows, "One", seconds=HOUR) for _ in range(BATCH_WRITTEN + 1)]
    assert sum(await asyncio.gather(*(reap(parley.instance.database) for _ in range(3)))) == len(left)
    assert {await each.shown() for each in left} == {("interrupted", "One")}
    logged = await rows("SELECT 1 FROM interaction_logs WHERE message_id = ANY(%s)", [each.id for each in left])
    assert len(logged) == len(left)


@pytest.mark.usefixtures("nothing_left")
async def test_an_answer_of_which_nothing_was_kept_is_in_the_log_too(parley: Deployment, rows: Rows) -> None:
    left = await leave(parley, rows, seconds=HOUR)
    await rows("DELETE FROM stream_events")
    assert (await reap(parley.instance.database), await left.shown()) == (1, ("interrupted", ""))
    logged = await rows("SELECT outcome, user_id FROM interaction_logs WHERE message_id = %s", left.id)
    assert logged == [{"outcome": "interrupted", "user_id": left.asker.id}]


@pytest.mark.usefixtures("nothing_left")
async def test_batches_that_came_too_late_for_their_answer_are_deleted(
    parley: Deployment, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    longest = LONGEST_TURN.total_seconds()
    old, lately, written = [
        await leave(parley, rows, "One", seconds=seconds) for seconds in (longest + 60, longest - 60, longest - 30)
    ]
    await rows("UPDATE messages SET status = 'complete' WHERE id = ANY(%s)", [old.id, lately.id])
    with caplog.at_level("INFO", "parley.jobs"):
        await reap(parley.instance.database)
    kept = await rows("SELECT DISTINCT message_id FROM stream_events")
    assert {row["message_id"] for row in kept} == {lately.id, written.id}
    assert "deleted 3 batches of answers that are over" in caplog.messages
