"""The spool: turns wait in real storage, a folder or an S3 server, and go into a real Postgres once."""

# pyright: reportPrivateUsage=false

import asyncio
import re
import socket
import string
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.auth.seal import Seal
from lib.db.session import Database
from lib.errors import Busy, DatabaseUnavailable, StorageUnavailable
from lib.files.storage import PAGE, Storage, Stored
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.spool import Spool
from lib.spool.objects import KEEP
from lib.spool.recent import MEMORY
from lib.spool.record import VERSION, Name, Replayed, TooNew, Unreadable, hashed, read, waiting_under, write
from lib.spool.replay import READ, by_conversation
from lib.spool.room import Room, Standing
from lib.turns import Branch, EndedTurn, TurnKey, TurnRecord, TurnResult
from lib.unhindered import hurry
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.storage import Bucket
from tests.fixtures.web import SEAL_KEY, Rows, make_settings
from tests.test_imports import loads

SECRET = "Nobody may read this question"
ANSWER = "nor that answer"
KEY = b"k" * 32


def ended(user_id: UUID | None = None, *, begun: bool = False, **changes: Any) -> EndedTurn:
    """Return a turn that is over; what is changed may be of the turn or of its result."""
    of_turn = {name: value for name, value in changes.items() if name in TurnRecord.__dataclass_fields__}
    of_result = {name: value for name, value in changes.items() if name not in of_turn}
    turn = TurnRecord(DEFAULT_TEAM_ID, user_id, new_id(), new_id(), new_id(), SECRET, opens=True)
    result = TurnResult("complete", ANSWER, model="model-1", total_ms=1200, finished_at=datetime.now(UTC))
    return EndedTurn(replace(turn, **of_turn), replace(result, **of_result), begun)


def next_in(first: EndedTurn, **changes: Any) -> EndedTurn:
    """Return a turn that goes on with another's conversation."""
    turn = first.turn
    return ended(turn.user_id, conversation_id=turn.conversation_id, opens=False, **changes)


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path) -> dict[str, Any]:
    """The settings of a deployment whose turns wait in a bucket, or in a folder."""
    return bucket.settings if request.param == "bucket" else {"data_dir": tmp_path}


def spool_of(place: dict[str, Any], **settings: Any) -> Spool:
    made = make_settings(None, "http://127.0.0.1:9/v1", **(place | settings))
    spool = Spool.from_settings(made, lambda: Seal.from_settings(made))
    assert spool is not None
    return spool


@pytest.fixture
def spool(place: dict[str, Any]) -> Spool:
    return spool_of(place)


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, Any]:
    return {"data_dir": tmp_path}


@pytest.fixture
async def database(database_url: str) -> Any:
    made = Database(database_url)
    yield made
    await made.close()


@pytest.fixture
async def user_id(rows: Rows) -> UUID:
    made = new_id()
    await rows(
        "INSERT INTO users (id, team_id, email, password_hash) VALUES (%s, %s, %s, '-')",
        *(made, DEFAULT_TEAM_ID, f"{made}@example.com"),
    )
    return made


async def keys_of(spool: Spool, prefix: str = "waiting") -> list[str]:
    return sorted(stored.key for stored in await spool._objects.storage.list_below(prefix, limit=10_000))


async def said(rows: Rows, turn: EndedTurn) -> list[tuple[str, str]]:
    """Return what was said in a turn's conversation, in order."""
    found = await rows(
        "SELECT role, parts #>> '{0,text}' AS text FROM messages WHERE conversation_id = %s ORDER BY id",
        turn.turn.conversation_id,
    )
    return [(row["role"], row["text"]) for row in found]


# What is written


ids = st.uuids()
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
maybe = st.none() | st.integers(0, 2**31)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
turns = st.builds(
    TurnRecord,
    team_id=ids,
    user_id=st.none() | ids,
    conversation_id=ids,
    question_id=ids,
    answer_id=ids,
    question=texts,
    opens=st.booleans(),
    agent_id=st.none() | ids,
    branch=st.none() | st.builds(Branch, st.sampled_from(["edit", "regenerate"]), ids),
    key=st.none() | st.builds(TurnKey, st.binary(min_size=16, max_size=32), st.binary(max_size=32)),
)
results = st.builds(
    TurnResult,
    outcome=st.sampled_from(["complete", "stopped", "interrupted", "failed"]),
    text=texts,
    reasoning=texts,
    sources=st.none() | st.lists(st.dictionaries(texts, json_values, max_size=3), max_size=3),
    error_code=st.none() | texts,
    model=st.none() | texts,
    agent_id=st.none() | ids,
    retrieval=st.none() | texts,
    passages=st.integers(0, 100),
    input_tokens=maybe,
    output_tokens=maybe,
    cost_usd=st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    first_token_ms=maybe,
    total_ms=maybe,
    finished_at=st.none()
    | st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)).map(lambda at: at.replace(fold=0)),  # noqa: DTZ001
)
SEAL = Seal((b"root of the tests",))


@given(st.builds(EndedTurn, turns, results, st.booleans()))
def test_a_turn_is_read_as_it_was_written(turn: EndedTurn) -> None:
    again = read(Name.of(turn.turn), write(turn, SEAL), SEAL)
    assert again == turn
    assert repr(again) == repr(turn)  # to the last zero of a cost


@given(turns)
def test_a_name_is_read_as_it_was_written_and_is_safe_in_any_storage(turn: TurnRecord) -> None:
    name = Name.of(turn)
    assert Name.read(name.waiting) == Name.read(name.aside) == name
    assert set(name.waiting) <= set(string.ascii_lowercase + string.digits + "-./")
    assert str(turn.conversation_id) not in name.waiting
    assert re.fullmatch(r"waiting/(-|[0-9a-f]{32})/[0-9a-f]{32}(\.[0-9a-f-]{36}){2}\.[oc][ug]", name.waiting)
    if turn.key:
        assert name.waiting.startswith(f"{waiting_under(turn.key.key_hash)}/")


@pytest.mark.parametrize("key", ["waiting/-/x", "waiting/../secret", "health/1", "waiting/-/1.2.3", ""])
def test_an_object_of_others_has_no_name(key: str) -> None:
    assert Name.read(key) is None


@pytest.mark.parametrize(("start", "stop"), [(0, -9), (0, 0), (9, None), (0, 20)])
def test_what_is_cut_off_is_unreadable(start: int, stop: int | None) -> None:
    turn = ended()
    with pytest.raises(Unreadable):
        read(Name.of(turn.turn), write(turn, SEAL)[start:stop], SEAL)


def test_a_turn_opens_under_no_other_name_and_with_no_other_key() -> None:
    turn, other = ended(), ended()
    sealed = write(turn, SEAL)
    with pytest.raises(Unreadable):
        read(Name.of(other.turn), sealed, SEAL)
    with pytest.raises(Unreadable):
        read(Name.of(turn.turn), sealed, Seal((b"another root",)))
    assert read(Name.of(turn.turn), sealed, Seal((b"newer root", *SEAL.roots))) == turn


@pytest.mark.parametrize("held", [b"", b"\x93\x01", msgspec.msgpack.encode((1, {"turn": 1})), b"\xc0"])
def test_what_holds_no_turn_is_unreadable(held: bytes) -> None:
    turn = ended()
    with pytest.raises(Unreadable):
        read(Name.of(turn.turn), SEAL.seal(held, context=f"spool {Name.of(turn.turn)}"), SEAL)


def of_later(turn: EndedTurn, seal: Seal) -> bytes:
    """Return the turn as a later version writes it, in a way that nobody here knows."""
    return seal.seal(msgspec.msgpack.encode((VERSION + 1, "in another way")), context=f"spool {Name.of(turn.turn)}")


def test_what_a_later_version_wrote_is_too_new() -> None:
    turn = ended()
    with pytest.raises(TooNew):
        read(Name.of(turn.turn), of_later(turn, SEAL), SEAL)


# Where it waits


def test_to_have_a_spool_opens_nothing_and_loads_no_client(tmp_path: Path) -> None:
    spool_of({"data_dir": tmp_path})
    assert not (tmp_path / "spool").exists()
    assert loads("lib.spool", tmp_path) & {"obstore", "cryptography"} == set()


@pytest.mark.parametrize(
    "settings",
    [{"spool_url": "off"}, {"spool_url": "off", "s3_bucket": "bucket"}, {"environment": "production"}],
    ids=["off", "off beside a bucket", "production without a bucket"],
)
def test_turns_may_wait_nowhere(settings: dict[str, Any]) -> None:
    made = make_settings("postgresql://db", "http://127.0.0.1:9/v1", **settings)
    assert Spool.from_settings(made, lambda: SEAL) is None


async def test_turns_wait_beside_the_files_unless_told_otherwise(bucket: Bucket, tmp_path: Path) -> None:
    url = f"s3://{bucket.folder.name}/elsewhere"
    for place in ({}, {"spool_url": url}, {"spool_url": str(tmp_path / "own")}):
        assert await spool_of(bucket.settings | place).keep(ended())
    assert await spool_of({"data_dir": tmp_path / "data"}).keep(ended())
    whole = Storage.at(f"s3://{bucket.folder.name}", make_settings(None, "http://127.0.0.1:9/v1", **bucket.settings))
    found = [*(await whole.list_below("spool", limit=9)), *(await whole.list_below("elsewhere", limit=9))]
    assert [stored.key.split("/")[:3] for stored in found] == [["spool", "waiting", "-"], ["elsewhere", "waiting", "-"]]
    in_folders = [path for of in ("own", "data/spool") for path in (tmp_path / of / "waiting").rglob("*.*")]
    assert len(in_folders) == 2


async def test_turns_that_end_together_are_kept_together(spool: Spool) -> None:
    assert all(await asyncio.gather(*(spool.keep(ended()) for _ in range(60))))
    assert len(await keys_of(spool)) == 60


async def test_nobodys_text_is_readable_where_turns_wait(folder: dict[str, Any], tmp_path: Path) -> None:
    source = {"title": "A private title", "text": "A private passage"}
    assert await spool_of(folder).keep(ended(sources=[source], reasoning="A private thought", key=TurnKey(KEY, KEY)))
    (kept,) = (path for path in (tmp_path / "spool").rglob("*") if path.is_file())
    for text in (SECRET, ANSWER, *source.values(), "A private thought", "model-1"):
        assert text.encode() not in kept.read_bytes()
        assert text not in str(kept)


# What goes in


async def test_a_turn_waits_until_it_is_brought_in_once(
    spool: Spool, database: Database, rows: Rows, user_id: UUID
) -> None:
    turn = ended(user_id, cost_usd=Decimal("0.000150"))
    assert (await spool.keep(turn), spool.holds, len(await keys_of(spool))) == (True, True, 1)
    assert await spool.replay(database) == Replayed(kept=1)
    assert await said(rows, turn) == [("user", SECRET), ("assistant", ANSWER)]
    assert (await keys_of(spool), spool.holds) == ([], False)
    assert await spool.replay(database) == Replayed()
    (logged,) = await rows("SELECT cost_usd FROM interaction_logs WHERE id = %s", turn.turn.answer_id)
    assert logged["cost_usd"] == Decimal("0.000150")
    assert spool.counts == {"spooled": 1, "kept": 1}


async def test_a_guests_turn_comes_in(spool: Spool, database: Database, rows: Rows) -> None:
    turn = ended()
    await spool.keep(turn)
    assert await spool.replay(database) == Replayed(kept=1)
    assert len(await said(rows, turn)) == 2


async def test_a_turn_that_is_kept_twice_is_one(spool: Spool, database: Database, rows: Rows, user_id: UUID) -> None:
    turn = ended(user_id)
    assert [await spool.keep(turn) for _ in range(2)] == [True, True]
    assert len(await keys_of(spool)) == 1
    assert (await spool.replay(database)).kept == 1
    await spool.keep(turn)  # by an instance that had not heard
    assert (await spool.replay(database)).left == 0
    assert len(await said(rows, turn)) == 2


async def test_two_that_replay_at_once_bring_each_turn_in_once(
    place: dict[str, Any], database: Database, rows: Rows, user_id: UUID
) -> None:
    writer, readers = spool_of(place), [spool_of(place) for _ in range(3)]
    first = [ended(user_id) for _ in range(12)]
    kept = [turn for one in first for turn in (one, next_in(one, question="And then?"))]
    assert all(await asyncio.gather(*(writer.keep(turn) for turn in kept)))
    replayed = await asyncio.gather(*(reader.replay(database) for reader in readers))
    assert [one.halted for one in replayed] == [None] * 3
    assert (sum(one.aside + one.refused + one.later for one in replayed), await keys_of(writer)) == (0, [])
    for one in first:
        assert [text for _, text in await said(rows, one)] == [SECRET, ANSWER, "And then?", ANSWER]
    logged = await rows("SELECT id FROM interaction_logs WHERE user_id = %s", user_id)
    assert len(logged) == len(kept)


async def test_while_one_replay_runs_a_second_returns_at_once(spool: Spool, database: Database, user_id: UUID) -> None:
    for _ in range(3):
        await spool.keep(ended(user_id))
    first = asyncio.create_task(spool.replay(database))
    await asyncio.sleep(0)
    assert await spool.replay(database) == Replayed()
    assert not first.done()
    assert not spool.due
    assert (await first).kept == 3


async def test_the_turns_of_a_conversation_go_in_in_order_the_one_that_opens_it_first(
    spool: Spool, database: Database, rows: Rows, user_id: UUID
) -> None:
    early = [new_id() for _ in range(READ)]  # by the clock of an instance that is behind
    first = ended(user_id, question="One?")
    others = [next_in(first, question=f"{number}?") for number in range(2, 12)]
    for number, question_id in enumerate(early):
        others[number] = replace(others[number], turn=replace(others[number].turn, question_id=question_id))
    for turn in reversed([first, *others]):
        await spool.keep(turn)
    assert (await spool.replay(database)).kept == 11
    (title,) = await rows("SELECT title FROM conversations WHERE id = %s", first.turn.conversation_id)
    assert title["title"] == "One?"
    answered = await rows(
        "SELECT parent.parts #>> '{0,text}' AS question FROM messages JOIN messages parent"
        " ON parent.id = messages.parent_id WHERE messages.role = 'assistant' AND messages.conversation_id = %s"
        " ORDER BY messages.id",
        first.turn.conversation_id,
    )
    assert [row["question"] for row in answered] == ["One?", *(f"{number}?" for number in range(2, 12))]


async def test_one_conversation_that_is_gone_on_with_comes_in_alone(
    spool: Spool, database: Database, rows: Rows, user_id: UUID
) -> None:
    wanted, other = ended(user_id), ended(user_id)
    for turn in (other, wanted, next_in(wanted)):
        await spool.keep(turn)
    assert await spool.replay_conversation(database, wanted.turn.conversation_id)
    assert (len(await said(rows, wanted)), await said(rows, other)) == (4, [])
    assert not await spool.replay_conversation(database, new_id())
    assert len(await keys_of(spool)) == 1


async def test_a_user_who_gets_a_conversation_keeps_the_newest(
    folder: dict[str, Any], database: Database, rows: Rows, user_id: UUID
) -> None:
    spool = spool_of(folder, retention_conversations=2)
    turns = [ended(user_id, finished_at=datetime.now(UTC) - timedelta(hours=9 - hour)) for hour in range(4)]
    for turn in turns:
        await spool.keep(turn)
    assert (await spool.replay(database)).kept == 4
    left = await rows("SELECT id FROM conversations WHERE user_id = %s", user_id)
    assert {row["id"] for row in left} == {turn.turn.conversation_id for turn in turns[2:]}


async def test_a_turn_that_had_begun_comes_in_whatever_became_of_its_account(
    spool: Spool, database: Database, rows: Rows, user_id: UUID
) -> None:
    begun = ended(user_id)
    await spool.keep(begun)
    await spool.replay(database)
    await rows("UPDATE messages SET status = 'interrupted' WHERE id = %s", begun.turn.answer_id)
    await rows("UPDATE interaction_logs SET outcome = 'interrupted' WHERE id = %s", begun.turn.answer_id)
    await rows("UPDATE users SET is_active = false WHERE id = %s", user_id)
    await spool.keep(replace(begun, begun=True, result=replace(begun.result, text="More of it.")))
    assert await spool.replay(database) == Replayed(kept=1)
    assert (await said(rows, begun))[-1] == ("assistant", "More of it.")


async def test_a_turn_in_anothers_conversation_is_refused(
    spool: Spool, database: Database, rows: Rows, user_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = ended()
    await spool.keep(theirs)
    await spool.replay(database)
    meddling = next_in(theirs)
    meddling = replace(meddling, turn=replace(meddling.turn, user_id=user_id))
    await spool.keep(meddling)
    assert await spool.replay(database) == Replayed(refused=1)
    assert (len(await said(rows, theirs)), await keys_of(spool)) == (2, [])
    assert f"turn {meddling.turn.answer_id} of team {DEFAULT_TEAM_ID} is deleted" in caplog.text
    assert SECRET not in caplog.text


# What has to wait


async def test_while_the_database_is_away_nothing_is_lost(
    spool: Spool, proxy: PostgresProxy, rows: Rows, user_id: UUID
) -> None:
    database = Database(proxy.url)
    turns = [ended(user_id) for _ in range(3)]
    for turn in turns:
        await spool.keep(turn)
    proxy.refuse()
    replayed = await spool.replay(database)
    assert (replayed.left, type(replayed.halted), spool.holds, spool.due) == (3, DatabaseUnavailable, True, False)
    assert len(await keys_of(spool)) == 3
    proxy.heal()
    await database.close()
    database = Database(proxy.url)
    assert (await spool.replay(database)).kept == 3
    assert [len(await said(rows, turn)) for turn in turns] == [2, 2, 2]
    await database.close()


async def test_a_commit_that_nobody_heard_of_is_no_second_turn(
    spool: Spool, proxy: PostgresProxy, rows: Rows, user_id: UUID
) -> None:
    database = Database(proxy.url)
    turn = ended(user_id)
    await spool.keep(turn)
    await spool.keep(warming := ended(user_id))
    assert await spool.replay_conversation(database, warming.turn.conversation_id)  # connects
    proxy.swallow()
    assert (await spool.replay(database)).left == 1
    assert len(await said(rows, turn)) == 2
    assert (await spool.replay(database)).left == 0
    assert (len(await said(rows, turn)), await keys_of(spool)) == (2, [])
    await database.close()


async def test_a_conversation_whose_turn_has_to_wait_keeps_its_others_waiting(
    spool: Spool, database: Database, rows: Rows, user_id: UUID
) -> None:
    key = TurnKey(new_id().bytes * 2, b"b" * 32)
    retried = ended(user_id, key=key)
    being_answered = await retry_under_way(rows, user_id, key)
    behind, other = next_in(retried), ended(user_id)
    for turn in (retried, behind, other):
        await spool.keep(turn)
    assert await spool.replay(database) == Replayed(kept=1, later=1, left=2)
    assert len(await keys_of(spool)) == 2
    await rows("UPDATE messages SET status = 'failed' WHERE id = %s", being_answered)
    assert (await spool.replay(database)).left == 0
    assert len(await said(rows, retried)) == 4


async def retry_under_way(rows: Rows, user_id: UUID, key: TurnKey) -> UUID:
    """Begin a turn with this key, and return the answer that is being written."""
    conversation_id, answer_id = new_id(), new_id()
    await rows(
        "INSERT INTO conversations (id, team_id, user_id, title, answer_id, busy_until)"
        " VALUES (%s, %s, %s, 'retry', %s, now() + interval '1 minute')",
        *(conversation_id, DEFAULT_TEAM_ID, user_id, answer_id),
    )
    await rows(
        "INSERT INTO messages (id, team_id, conversation_id, role, status, parts)"
        " VALUES (%s, %s, %s, 'assistant', 'streaming', '[]')",
        *(answer_id, DEFAULT_TEAM_ID, conversation_id),
    )
    await rows(
        "INSERT INTO turn_keys (key_hash, team_id, body_hash, conversation_id, answer_id) VALUES (%s, %s, %s, %s, %s)",
        *(key.key_hash, DEFAULT_TEAM_ID, key.body_hash, conversation_id, answer_id),
    )
    return answer_id


async def test_what_a_later_version_wrote_waits_for_it_and_holds_nobody_else_up(
    spool: Spool, database: Database, user_id: UUID
) -> None:
    new, old = ended(user_id), ended(user_id)
    await spool._objects.storage.put(Name.of(new.turn).waiting, of_later(new, spool._objects.seal))
    await spool.keep(next_in(new))
    await spool.keep(old)
    assert await spool.replay(database) == Replayed(kept=1, later=1, left=2)
    assert (await keys_of(spool, "aside"), spool.holds) == ([], False)
    await spool.keep(new)  # as the later version would have read it
    assert (await spool.replay(database)).left == 0


async def switch(rows: Rows, table: str, row_id: UUID, *, on: bool) -> None:
    await rows(f"UPDATE {table} SET is_active = %s WHERE id = %s", on, row_id)  # noqa: S608 - a table of the tests


async def test_a_turn_waits_while_its_account_is_not_active_and_holds_nobody_else_up(
    spool: Spool, database: Database, rows: Rows, user_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    of_others = await other_user(rows)
    waits, behind = (first := ended(user_id)), next_in(first)
    await switch(rows, "users", user_id, on=False)
    for turn in (waits, behind, *(ended(of_others) for _ in range(2))):
        await spool.keep(turn)
    assert await spool.replay(database) == Replayed(kept=2, later=1, left=2)
    assert (spool.holds, spool.due, spool._put_off) == (False, False, {hashed(waits.turn.conversation_id)})
    with caplog.at_level("INFO", "parley.spool"):
        caplog.clear()
        assert await spool.replay(database) == Replayed(later=1, left=2)
        assert caplog.messages == []
    await switch(rows, "users", user_id, on=True)
    assert await spool.replay(database) == Replayed(kept=2)
    assert (len(await said(rows, waits)), spool._put_off) == (4, frozenset())


def test_who_waits_for_long_comes_last_and_who_opens_a_conversation_first_in_it() -> None:
    long, second = Name.of(ended().turn), Name.of(ended(opens=False).turn)
    opens = replace(second, question_id=new_id(), opens=True)  # by a clock that is ahead
    other = Name.of(ended().turn)
    ordered = by_conversation([other, opens, second, long], last={long.conversation})
    assert ordered == [[opens, second], [other], [long]]


async def test_a_turn_waits_while_its_team_is_not_active(
    spool: Spool, database: Database, rows: Rows, user_id: UUID
) -> None:
    team_id = new_id()
    await rows("INSERT INTO teams (id, name, slug, is_active) VALUES (%s, 'Off', %s, false)", team_id, str(team_id))
    await rows("UPDATE users SET team_id = %s WHERE id = %s", team_id, user_id)
    await spool.keep(ended(user_id, team_id=team_id))
    assert await spool.replay(database) == Replayed(later=1, left=1)
    await switch(rows, "teams", team_id, on=True)
    assert await spool.replay(database) == Replayed(kept=1)


async def test_a_turn_whose_account_has_long_not_been_active_is_set_aside(
    spool: Spool, database: Database, rows: Rows, user_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    old, older = (made_before(days) for days in (29.9, 30.1))
    await switch(rows, "users", user_id, on=False)
    for question_id in (old, older):
        await spool.keep(ended(user_id, question_id=question_id))
    assert await spool.replay(database) == Replayed(later=1, aside=1, left=1)
    assert [Name.read(key) for key in await keys_of(spool, "aside")] != []
    assert "is set aside: it was asked more than 30 days ago, and its account or team is not active" in caplog.text
    await switch(rows, "users", user_id, on=True)
    assert await spool.replay(database, aside=True) == Replayed(kept=2)


def made_before(days: float) -> UUID:
    """Return the id of what was made so many days ago."""
    fresh = new_id()
    milliseconds = (fresh.int >> 80) - round(days * 24 * 3_600_000)
    return UUID(int=milliseconds << 80 | fresh.int & ((1 << 80) - 1))


async def other_user(rows: Rows) -> UUID:
    made = new_id()
    await rows(
        "INSERT INTO users (id, team_id, email, password_hash) VALUES (%s, %s, %s, '-')",
        *(made, DEFAULT_TEAM_ID, f"{made}@example.com"),
    )
    return made


async def test_a_turn_whose_retry_was_answered_is_told_apart(
    spool: Spool, database: Database, rows: Rows, user_id: UUID
) -> None:
    key = TurnKey(new_id().bytes * 2, b"b" * 32)
    retry = await retry_under_way(rows, user_id, key)
    await rows("UPDATE messages SET status = 'complete' WHERE id = %s", retry)
    turn = ended(user_id, key=key)
    await spool.keep(turn)
    assert await spool.replay(database) == Replayed(answered=1)
    assert (await said(rows, turn), spool.counts["answered"], await keys_of(spool)) == ([], 1, [])


async def test_what_waits_for_a_retry_may_come_in_soon(
    spool: Spool, database: Database, rows: Rows, user_id: UUID
) -> None:
    key = TurnKey(new_id().bytes * 2, b"b" * 32)
    await retry_under_way(rows, user_id, key)
    await spool.keep(ended(user_id, key=key))
    assert (await spool.replay(database)).later == 1
    assert (spool.holds, spool.due) == (True, False)


async def test_a_replay_is_bounded_in_turns_and_in_time_and_the_next_goes_on(
    spool: Spool, database: Database, user_id: UUID
) -> None:
    for _ in range(9):
        await spool.keep(ended(user_id))
    assert await spool.replay(database, within=0) == Replayed(left=9)
    bounded = await spool.replay(database, most=4)
    assert 4 <= bounded.kept <= 7  # those that were being kept at the time
    assert bounded.left == 9 - bounded.kept
    assert (spool.holds, spool.due) == (True, True)
    assert (await spool.replay(database)).left == 0


# What is set aside


async def test_what_cannot_be_opened_is_set_aside_and_comes_back_with_its_key(
    place: dict[str, Any], database: Database, rows: Rows, user_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    another_key = "another-sealing-key-of-the-tests-0123456789"
    under_old, under_new = ended(user_id), ended(user_id)
    await spool_of(place).keep(under_old)
    without = spool_of(place, seal_key=another_key)
    await without.keep(under_new)
    assert await without.replay(database) == Replayed(kept=1, aside=1)
    assert f"turn {under_old.turn.answer_id} is set aside: no key of ours opens it" in caplog.text
    assert (await keys_of(without), await keys_of(without, "aside")) == ([], [Name.of(under_old.turn).aside])
    assert await without.replay(database) == Replayed()  # and is not looked at again
    assert await without.replay(database, aside=True) == Replayed(aside=1)
    rolled = spool_of(place, seal_key=f"{another_key},{SEAL_KEY}")
    assert await rolled.replay(database, aside=True) == Replayed(kept=1)
    assert (len(await said(rows, under_old)), await keys_of(rolled, "aside")) == (2, [])


async def test_a_rolled_key_opens_what_the_one_before_sealed(
    place: dict[str, Any], database: Database, user_id: UUID
) -> None:
    await spool_of(place).keep(ended(user_id))
    rolled = spool_of(place, seal_key=f"a-newer-sealing-key-of-the-tests-0123456789,{SEAL_KEY}")
    assert await rolled.replay(database) == Replayed(kept=1)


async def test_what_is_cut_off_is_set_aside_and_holds_nobody_up(
    spool: Spool, database: Database, rows: Rows, user_id: UUID
) -> None:
    cut, empty = ended(user_id), ended(user_id)
    behind = next_in(cut)
    await spool._objects.storage.put(Name.of(cut.turn).waiting, write(cut, spool._objects.seal)[:-20])
    await spool._objects.storage.put(Name.of(empty.turn).waiting, b"")
    await spool._objects.storage.put("waiting/-/of-others", b"kept as it is")
    await spool.keep(behind)
    assert await spool.replay(database) == Replayed(kept=1, aside=2)
    assert len(await said(rows, behind)) == 2
    assert await keys_of(spool) == ["waiting/-/of-others"]
    assert spool.counts["aside"] == 2


async def test_what_the_database_never_takes_is_set_aside_and_its_words_stay_out_of_the_log(
    spool: Spool, database: Database, user_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    poison = ended(user_id, model="poison\x00ous")
    await spool.keep(poison)
    await spool.keep(ended(user_id))
    assert await spool.replay(database) == Replayed(kept=1, aside=1)
    assert f"turn {poison.turn.answer_id} is set aside: the database refuses it with DataError" in caplog.text
    assert not any(text in caplog.text for text in (SECRET, ANSWER, "poison"))
    assert await keys_of(spool, "aside") == [Name.of(poison.turn).aside]


# Retries


async def test_a_turn_is_found_under_its_key_the_most_complete_one(spool: Spool, user_id: UUID) -> None:
    key = TurnKey(KEY, b"b" * 32)
    failed = ended(user_id, key=key, outcome="failed", error_code="provider_error")
    complete, other = ended(user_id, key=key), ended(user_id, key=TurnKey(b"o" * 32, b"b" * 32))
    stopped = ended(user_id, key=key, outcome="stopped")
    for turn in (failed, stopped, other):
        await spool.keep(turn)
    assert await spool.find(KEY) == stopped
    await spool.keep(complete)
    assert await spool.find(KEY) == complete
    assert await spool.find(b"n" * 32) is None
    assert await spool.find(KEY[:16] + b"z" * 16) is None  # its name begins alike


async def test_what_cannot_be_read_is_not_found(spool: Spool, user_id: UUID) -> None:
    turn = ended(user_id, key=TurnKey(KEY, KEY))
    await spool._objects.storage.put(Name.of(turn.turn).waiting, b"no turn")
    assert await spool.find(KEY) is None
    await spool._objects.storage.put(Name.of(turn.turn).waiting, of_later(turn, spool._objects.seal))
    assert await spool.find(KEY) is None


# Storage that is away


@pytest.mark.alone
@pytest.mark.parametrize("fault", ["refused", "silent"])
async def test_a_storage_that_is_away_takes_nothing_and_says_so_in_time(
    bucket: Bucket, database: Database, user_id: UUID, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = "http://127.0.0.1:9" if fault == "refused" else f"http://127.0.0.1:{silent.getsockname()[1]}"
        spool = spool_of(bucket.settings | {"S3_ENDPOINT": endpoint})
        turn = ended(user_id, key=TurnKey(KEY, KEY))
        began = time.monotonic()
        replaying = asyncio.create_task(spool.replay(database))
        answers = await asyncio.gather(
            spool.keep(turn),
            spool.find(KEY),
            spool.standing(),
            spool.replay_conversation(database, turn.turn.conversation_id),
        )
        assert time.monotonic() - began < KEEP + 0.5
        assert answers == [False, None, None, False]
        assert (spool.counts["unwritable"], spool.holds, "is lost" in caplog.text) == (0, True, False)
        spool.lost(turn)
        assert spool.counts["unwritable"] == 1
        assert f"turn {turn.turn.answer_id} is lost: the spool is unwritable" in caplog.text
        replayed = await replaying
    assert (replayed.left, type(replayed.halted), spool.holds, spool.due) == (0, StorageUnavailable, True, False)


@pytest.mark.alone
async def test_no_storage_is_waited_for_beyond_the_patience_of_a_reader(bucket: Bucket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = make_settings(None, "http://127.0.0.1:9/v1", **(bucket.settings | {"S3_ENDPOINT": endpoint}))
        spool = Spool(
            lambda: Storage.at("s3://bucket", settings), lambda: SEAL, max_records=9, max_bytes=9999, retention=0
        )
        began = time.monotonic()
        assert await spool.keep(ended()) is False
        assert time.monotonic() - began < KEEP + 0.5


async def test_a_folder_that_cannot_be_made_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = spool_of({"spool_url": str(tmp_path / "file" / "spool")})
    assert await spool.keep(ended()) is False
    (tmp_path / "file").unlink()
    assert await spool.keep(ended())


async def test_a_turn_that_cannot_be_written_is_not_kept_and_raises_nothing(spool: Spool) -> None:
    assert await spool.keep(ended(question="\ud800")) is False
    assert spool.counts.total() == 0


async def test_a_turn_whose_object_could_not_be_deleted_is_found_known(
    folder: dict[str, Any], database: Database, rows: Rows, user_id: UUID
) -> None:
    spool = spool_of(folder)
    turn = ended(user_id)
    await spool.keep(turn)
    written = await spool._objects.storage.get(Name.of(turn.turn).waiting)
    assert (await spool.replay(database)).kept == 1
    assert written is not None
    await spool._objects.storage.put(Name.of(turn.turn).waiting, written)  # as if it had never gone
    replayed = await spool.replay(database)
    assert (replayed.kept + replayed.known, replayed.left) == (1, 0)
    assert len(await said(rows, turn)) == 2
    await rows("DELETE FROM conversations WHERE id = %s", turn.turn.conversation_id)
    await spool._objects.storage.put(Name.of(turn.turn).waiting, written)
    assert await spool.replay(database) == Replayed(known=1)
    assert await said(rows, turn) == []


# Who asks in passing


class Counting:
    """A storage that counts what is listed of it, and is silent about all that waits when it is told to be."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.lists: list[tuple[str, int]] = []
        self.silent = False
        self.reading = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    async def list_below(self, prefix: str, *, limit: int) -> list[Stored]:
        self.lists.append((prefix, limit))
        if self.silent and prefix == "waiting":
            await asyncio.sleep(60)
        return await self.storage.list_below(prefix, limit=limit)

    async def get(self, key: str) -> bytes | None:
        self.reading.set()
        await self.may_read.wait()
        return await self.storage.get(key)


@pytest.fixture
def counted(folder: dict[str, Any]) -> Counting:
    return Counting(spool_of(folder)._objects.storage)


@pytest.fixture
def counting(counted: Counting) -> Spool:
    storage: Any = counted
    return Spool(lambda: storage, lambda: SEAL, max_records=99, max_bytes=10**6, retention=99)


async def test_conversations_that_are_made_up_cost_one_page_a_while(
    counting: Spool, counted: Counting, database: Database, user_id: UUID
) -> None:
    looks = await asyncio.gather(*(counting.replay_conversation(database, new_id()) for _ in range(20)))
    assert (looks, counted.lists) == ([False] * 20, [("waiting", PAGE)])
    turn = ended(user_id)
    await counting.keep(turn)
    assert await counting.replay_conversation(database, turn.turn.conversation_id)  # one's own is seen at once
    counting._recent._looked_at -= MEMORY
    counted.lists.clear()
    assert not await counting.replay_conversation(database, turn.turn.conversation_id)
    assert counted.lists == [("waiting", PAGE)]


async def test_a_conversation_that_is_made_up_keeps_no_retry_from_being_found(
    counting: Spool, counted: Counting, database: Database, user_id: UUID
) -> None:
    turn = ended(user_id, key=TurnKey(KEY, KEY))
    await counting.keep(turn)
    counted.silent = True
    assert not await counting.replay_conversation(database, new_id())
    assert counting._recently.is_open
    assert await counting.find(KEY) == turn


# Who has to end, and who waits for another


@pytest.mark.alone
async def test_a_replay_ends_at_once_when_the_instance_has_to(
    counting: Spool, counted: Counting, database: Database, user_id: UUID
) -> None:
    await counting.keep(ended(user_id))
    counted.may_read.clear()
    replaying = asyncio.create_task(counting.replay(database))
    one = asyncio.create_task(counting.replay_conversation(database, new_id()))
    await counted.reading.wait()
    began = time.monotonic()
    hurry()
    await replaying
    assert time.monotonic() - began < 0.5
    await one
    assert (counting.holds, len(await keys_of(counting))) == (True, 1)
    counted.may_read.set()
    assert await counting.replay(database) == Replayed(kept=1)  # what began later is not hurried


async def test_a_replay_that_is_hurried_begins_with_no_further_turn(
    counting: Spool, counted: Counting, database: Database, user_id: UUID
) -> None:
    for _ in range(3):
        await counting.keep(ended(user_id))
    counted.may_read.clear()
    replaying = asyncio.create_task(counting.replay(database))
    await counted.reading.wait()
    hurry()
    counted.may_read.set()
    assert await replaying == Replayed(left=3)


async def test_who_wants_all_of_it_waits_for_the_replay_that_is_under_way(
    counting: Spool, counted: Counting, database: Database, user_id: UUID
) -> None:
    await counting._objects.storage.put(Name.of((turn := ended(user_id)).turn).aside, write(turn, SEAL))
    await counting.keep(ended(user_id))
    counted.may_read.clear()
    running = asyncio.create_task(counting.replay(database))
    await counted.reading.wait()
    with pytest.raises(Busy) as refused:
        await counting.replay_all(database, within=0.05, aside=True)
    assert refused.value.retry_after == 5
    bringing_back = asyncio.create_task(counting.replay_all(database, aside=True))
    await asyncio.sleep(0)
    counted.may_read.set()
    assert (await running, await bringing_back) == (Replayed(kept=1), Replayed(kept=1))


# Bounds


async def test_more_turns_than_may_wait_are_not_kept(
    place: dict[str, Any], database: Database, user_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    spool = spool_of(place, spool_max_records=3)
    turns = [ended(user_id) for _ in range(8)]
    kept = await asyncio.gather(*(spool.keep(turn) for turn in turns))
    assert (sum(kept), len(await keys_of(spool)), spool.counts) == (3, 3, {"spooled": 3})
    for turn, is_kept in zip(turns, kept, strict=True):
        if not is_kept:
            spool.lost(turn)
    assert spool.counts == {"spooled": 3, "full": 5}
    assert f"turn {turns[kept.index(False)].turn.answer_id} is lost: the spool is full" in caplog.text
    assert await spool_of(place, spool_max_records=3).keep(ended(user_id)) is False  # another instance sees the same
    assert (await spool.replay(database)).kept == 3
    assert await spool.keep(ended(user_id))


async def test_more_bytes_than_may_wait_are_not_kept(place: dict[str, Any], user_id: UUID) -> None:
    spool = spool_of(place, spool_max_mb=1)
    large = ended(user_id, text="x" * 400_000)
    assert [await spool.keep(turn) for turn in (large, ended(user_id, text="y" * 400_000), ended(user_id))] == [
        *(True, False, True)
    ]
    assert (await spool.standing() or Standing()).waiting_bytes <= 1_000_000


async def test_guests_get_a_quarter_of_the_room(place: dict[str, Any], user_id: UUID) -> None:
    spool = spool_of(place, spool_max_records=8)
    guests = [ended() for _ in range(5)]
    kept = [await spool.keep(guest) for guest in guests]
    assert kept == [True, True, False, False, False]
    spool.lost(guests[-1])
    assert spool.counts["full"] == 1
    assert await spool_of(place, spool_max_records=8).keep(ended()) is False  # another instance sees the same
    assert [await spool.keep(ended(user_id)) for _ in range(7)] == [*[True] * 6, False]


async def test_guests_get_a_quarter_of_the_bytes(place: dict[str, Any], user_id: UUID) -> None:
    spool = spool_of(place, spool_max_mb=1)
    large = "x" * 140_000
    assert [await spool.keep(ended(text=large)) for _ in range(2)] == [True, False]
    assert [await spool.keep(ended(user_id, text=large)) for _ in range(2)] == [True, True]


async def test_what_is_set_aside_takes_room(folder: dict[str, Any]) -> None:
    spool = spool_of(folder, spool_max_records=1)
    await spool._objects.storage.put(Name.of(ended().turn).aside, b"poison")
    assert await spool.keep(ended()) is False


async def test_how_much_waits_is_known(spool: Spool) -> None:
    await spool.keep(ended())
    spool.room.changed()
    await spool._objects.storage.put(Name.of(ended().turn).aside, b"poison")
    (size,) = (each.size for each in await spool._objects.storage.list_below("waiting", limit=9))
    assert await spool.standing() == Standing(1, size, 1, 6, guests=2, guests_bytes=size + 6)
    await spool.keep(ended())  # since that look
    assert await spool.standing() == Standing(2, 2 * size, 1, 6, guests=3, guests_bytes=2 * size + 6)


class Shelf:
    """Lists what it is told to, and counts how often."""

    def __init__(self, *sizes: int) -> None:
        self.sizes: Sequence[int] | None = sizes
        self.silent = asyncio.Event()
        self.silent.set()
        self.looks = 0

    async def list_below(self, prefix: str) -> list[Stored]:
        self.looks += prefix == "waiting"
        await self.silent.wait()
        if self.sizes is None:
            raise StorageUnavailable("refuses our key")
        return [Stored(f"waiting/{number}", size) for number, size in enumerate(self.sizes)] * (prefix == "waiting")


def room_of(shelf: Shelf) -> Room:
    return Room(shelf.list_below, max_records=3, max_bytes=100)


@pytest.mark.alone
async def test_who_cannot_know_whether_there_is_room_takes_the_turn() -> None:
    shelf = Shelf()
    shelf.sizes = None
    room = room_of(shelf)
    assert await room.fits(10, within=0.05)
    shelf.silent.clear()
    began = time.monotonic()
    assert await room.fits(10, within=0.05)
    assert time.monotonic() - began < 0.5
    for key in "abc":
        with room.taken(key, 1):
            pass
    assert not await room.fits(10, within=0.05)  # our own writes are known
    shelf.silent.set()


async def test_room_is_looked_at_once_for_many_and_our_own_writes_count_at_once() -> None:
    shelf = Shelf(10)
    room = room_of(shelf)
    assert all(await asyncio.gather(*(room.fits(10, within=1) for _ in range(50))))
    with room.taken("mine", 60):
        assert not await room.fits(31, within=1)
        assert await room.fits(30, within=1)
    assert not await room.fits(31, within=1)
    assert shelf.looks == 1


async def test_a_write_that_failed_takes_no_room() -> None:
    room = room_of(Shelf())
    assert await room.fits(1, within=1)
    with pytest.raises(ZeroDivisionError), room.taken("mine", 100):
        raise ZeroDivisionError
    assert await room.fits(100, within=1)


async def test_a_look_that_sees_our_own_writes_counts_them_once() -> None:
    shelf = Shelf(10)
    room = room_of(shelf)
    await room.fits(1, within=1)
    with room.taken("waiting/1", 10):
        pass
    shelf.sizes = (10, 10)
    room.changed()
    assert await room.fits(80, within=1)
    assert not await room.fits(81, within=1)
    shelf.sizes = ()  # replayed by others
    room.changed()
    assert await room.fits(100, within=1)


async def test_full_is_looked_at_again_before_it_is_said_once_there_is_less() -> None:
    shelf = Shelf(1, 1, 1)
    room = room_of(shelf)
    assert not await room.fits(1, within=1)
    shelf.sizes = ()
    room.changed()
    assert await room.fits(1, within=1)


# When to look


async def test_it_is_time_to_look_when_turns_may_wait(spool: Spool, database: Database, user_id: UUID) -> None:
    assert (spool.holds, spool.due) == (True, True)  # a fresh instance knows of nothing
    await spool.replay(database)
    assert (spool.holds, spool.due) == (False, False)
    await spool.keep(ended(user_id))
    assert (spool.holds, spool.due) == (True, True)
    await spool.replay(database)
    assert (spool.holds, spool.due) == (False, False)
    spool._outlook._looked_at -= 301
    assert spool.due


async def test_a_turn_that_is_kept_during_a_replay_is_not_forgotten(
    spool: Spool, database: Database, user_id: UUID
) -> None:
    await spool.keep(ended(user_id))
    replaying = asyncio.create_task(spool.replay(database))
    await asyncio.sleep(0)
    await spool.keep(ended(user_id))
    await replaying
    assert spool.holds
