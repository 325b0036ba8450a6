"""Each protocol's spelling of one and the same turn."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, get_args
from uuid import UUID

import pytest

from lib.chat.events import (
    Failed,
    Finished,
    ReasoningDelta,
    Source,
    Sources,
    Started,
    Status,
    TextDelta,
    TurnEvent,
    Usage,
)
from lib.chat.position import START, Position
from lib.encoders.base import Encoder
from lib.encoders.book import BookEncoder
from lib.encoders.native import NativeEncoder
from lib.encoders.team import TeamEncoder

CONVERSATION = UUID("01900000-0000-7000-8000-00000000000a")
MESSAGE = UUID("01900000-0000-7000-8000-00000000000b")
SOURCE = Source(1, "Bees", ("Dances",), "bees.md", "d1", 0, 11, 0.5, "Bees dance.")
USAGE = Usage(12, 4)
TURN: tuple[TurnEvent, ...] = (
    Started(CONVERSATION, MESSAGE, saved=True),
    Status("Searching."),
    Sources((SOURCE,), "used"),
    ReasoningDelta("Hm."),
    TextDelta('Bees "dance"'),
    TextDelta("\n [1]"),
    USAGE,
    Finished('Bees "dance"\n [1]', (1,), USAGE, "double-1", True, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    Failed("provider_error", "The model could not answer.", "Bees", False),
)


def encode(encoder: Encoder) -> list[bytes]:
    return [encoder.encode(event) for event in TURN]


@pytest.mark.parametrize("make", [BookEncoder, NativeEncoder, TeamEncoder])
def test_every_event_there_is_can_be_encoded(make: type[Encoder]) -> None:
    assert {type(event) for event in TURN} == set(get_args(TurnEvent))
    assert len(encode(make())) == len(TURN)


@pytest.mark.parametrize("make", [BookEncoder, NativeEncoder, TeamEncoder])
def test_every_frame_ends_with_a_blank_line_and_holds_no_other(make: type[Encoder]) -> None:
    for frame in filter(None, encode(make())):
        assert frame.endswith(b"\n\n")
        assert b"\n\n" not in frame[:-2]


def book_frames() -> list[Any]:
    return [json.loads(frame.removeprefix(b"data: ")) for frame in encode(BookEncoder()) if frame]


def test_the_books_frames() -> None:
    first, second, success, error = book_frames()
    assert first == {"content": 'Bees "dance"', "status": "partial"}
    assert second == {"content": "\n [1]", "status": "partial"}
    assert success == {
        "content": 'Bees "dance"\n [1]',
        "message_id": str(MESSAGE),
        "conversation_id": str(CONVERSATION),
        "timestamp": "2026-01-02T03:04:05Z",
        "status": "success",
        "sources": [
            {
                "index": 1,
                "title": "Bees",
                "headings": ["Dances"],
                "uri": "bees.md",
                "document_id": "d1",
                "start": 0,
                "end": 11,
                "score": 0.5,
                "text": "Bees dance.",
                "cited": True,
            }
        ],
        "retrieval": "used",
        "usage": {"input_tokens": 12, "output_tokens": 4},
        "model": "double-1",
        "saved": True,
        "spooled": False,
        "history": "loaded",
    }
    assert error == {
        "content": "The model could not answer.",
        "message_id": str(MESSAGE),
        "conversation_id": str(CONVERSATION),
        "status": "error",
        "code": "provider_error",
        "saved": False,
        "spooled": False,
    }


def test_our_own_events_have_a_type_an_id_that_spells_a_position_and_all_they_know() -> None:
    frames = [frame.decode().splitlines() for frame in encode(NativeEncoder())]
    assert [frame[0] for frame in frames] == [
        "event: started",
        "event: status",
        "event: sources",
        "event: reasoning",
        "event: text",
        "event: text",
        "event: usage",
        "event: finished",
        "event: failed",
    ]
    positions = list(accumulate(TURN, lambda at, event: at.after(event), initial=START))
    assert [frame[1] for frame in frames] == [f"id: {position}" for position in positions[1:]]
    assert frames[4][2] == 'data: {"text":"Bees \\"dance\\""}'
    assert json.loads(frames[7][2].removeprefix("data: "))["cited"] == [1]


def test_the_teams_frames() -> None:
    frames = [json.loads(frame.split(b"data: ")[1]) for frame in encode(TeamEncoder()) if frame]
    assert [frame["type"] for frame in frames] == ["status", "message", "message", "done", "error"]
    assert frames[0]["data"] == {"description": "Searching.", "level": "info", "done": False}
    assert frames[1]["data"] == {"content": 'Bees "dance"'}
    done, error = frames[3]["data"], frames[4]["data"]
    assert (done["message"], done["message_id"], done["saved"]) == ("Stream completed", str(MESSAGE), True)
    assert [(source["title"], source["cited"]) for source in done["sources"]] == [("Bees", True)]
    assert (error["message"], error["code"]) == ("The model could not answer.", "provider_error")


def test_every_protocol_tells_that_a_turn_waits_and_where_the_conversation_so_far_came_from() -> None:
    (finished,) = [event for event in TURN if isinstance(event, Finished)]
    failed = Failed("provider_error", "It failed.", "", saved=False, spooled=True)
    for encoder in (BookEncoder(), TeamEncoder(), NativeEncoder()):
        first = encoder.encode(Started(CONVERSATION, MESSAGE, saved=False, history="unavailable"))
        last = encoder.encode(replace(finished, saved=False, spooled=True))
        assert b'"saved":false' in last
        assert b'"spooled":true' in last
        assert b'"history":"unavailable"' in first + last
        assert b'"spooled":true' in encoder.encode(failed)


def test_an_answer_that_was_stopped_does_not_look_whole() -> None:
    (finished,) = [event for event in TURN if isinstance(event, Finished)]
    stopped = replace(finished, stopped=True)
    assert b'"status":"stopped"' in BookEncoder().encode(stopped)
    assert b'"stopped":true' in NativeEncoder().encode(stopped)
    assert b'"Stream stopped"' in TeamEncoder().encode(stopped)


@pytest.mark.parametrize("make", [NativeEncoder, TeamEncoder])
def test_the_end_of_one_reading_has_the_id_of_the_event_before_it(make: type[NativeEncoder | TeamEncoder]) -> None:
    encoder = make(Position(whole=2, text=4))
    before = encoder.encode(TextDelta("Bees"))
    frame = encoder.encode(Failed("database_unavailable", "It is away.", "", saved=False, over=False))
    assert b"id: 2.8.0.0\n" in before
    assert b"id: 2.8.0.0\n" in frame


def test_a_reader_who_has_had_the_beginning_is_not_told_it_again() -> None:
    started = Started(CONVERSATION, MESSAGE, saved=True)
    assert NativeEncoder(Position(whole=1)).encode(started) == b""
    team = TeamEncoder(Position(whole=1))
    assert team.encode(started) == b""
    assert str(MESSAGE).encode() in team.encode(Failed("provider_error", "It failed.", "", saved=True))
