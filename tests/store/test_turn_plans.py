"""How Postgres goes about a turn, and about the list of conversations, where what it knows of the tables misleads it.

Either there are few conversations, and one of them holds nearly every message; or there are many, of which one account
has most, beside thousands of teams that have little. Each statement is planned for its parameters, and for any, as it
may be from the sixth time on where it is prepared, and as a turn's are (`generic_plan`). What is read is bounded by
what is told.
"""

import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from bench.seed import account, fill, team
from lib.db.limits import Hit
from lib.db.session import Connection, Database
from lib.db.tenant import EVERY_TEAM, Asker, Reach, Tenant
from lib.ids import DEFAULT_TEAM_ID, id_after, new_id
from lib.store import answers, conversations, messages, retention, streams, titles, turn_keys, turns
from lib.store.conversations import Owner, Wanted
from lib.store.messages import Place
from lib.store.streams import Batch
from lib.turns import Branch, EndedTurn, TurnKey, TurnRecord, TurnResult
from scripts.init_db import upgrade
from tests.fixtures.postgres import own_database
from tests.store.explaining import Explaining

LONG = 10_000
GROWING = {"messages", "interaction_logs", "turn_keys", "conversations", "teams", "users", "sessions", "rate_limits"}
"""Tables that grow with the deployment."""

Ask = Callable[[Connection], Awaitable[object]]

_BESIDE = (
    "INSERT INTO teams (id, name, slug) SELECT gen_random_uuid(), 'Team', n::text FROM generate_series(1, 3000) AS n",
    """
    INSERT INTO users (id, team_id, email, role)
    SELECT gen_random_uuid(), id, slug || '@example.com', 'user' FROM teams WHERE slug ~ '^[0-9]+$'
    """,
    "INSERT INTO rate_limits (key, hits) SELECT 'chat:user:' || id, 1 FROM users",
)
_OF_MESSAGES = (
    """
    INSERT INTO interaction_logs (id, team_id, user_id, conversation_id, message_id, outcome)
    SELECT messages.id, messages.team_id, user_id, conversation_id, messages.id, 'complete'
    FROM messages JOIN conversations ON conversations.id = conversation_id WHERE role = 'assistant'
    """,
    """
    INSERT INTO turn_keys (key_hash, team_id, body_hash, conversation_id, answer_id)
    SELECT sha256(CAST(CAST(id AS text) AS bytea)), team_id, '', conversation_id, id
    FROM messages WHERE role = 'assistant'
    """,
    "INSERT INTO sessions (id, team_id, user_id, expires_at) SELECT id, team_id, id, now() + '1 day' FROM users",
    "VACUUM ANALYZE",
)


@dataclass(frozen=True)
class World:
    """A database, and somebody in it with a long conversation and others.

    Attributes:
        generic: whether statements are planned for any parameters.
        crowded: whether there are many others.
    """

    database: Database
    user_id: UUID
    longest: UUID
    generic: bool
    crowded: bool

    @property
    def owner(self) -> Owner:
        return Owner(team_id=DEFAULT_TEAM_ID, user_id=self.user_id)

    def place(self, conversation_id: UUID) -> Place:
        return Place(team_id=DEFAULT_TEAM_ID, user_id=self.user_id, conversation_id=conversation_id)

    def turn(self, conversation_id: UUID, *, opens: bool = False, branch: Branch | None = None) -> TurnRecord:
        question_id = new_id()
        return TurnRecord(
            team_id=DEFAULT_TEAM_ID,
            user_id=self.user_id,
            conversation_id=conversation_id,
            question_id=question_id,
            answer_id=id_after(question_id),
            question="And then?",
            opens=opens,
            branch=branch,
            key=TurnKey(secrets.token_bytes(32), b"body"),
        )

    async def begun(self, conversation_id: UUID) -> TurnRecord:
        """Begin a turn, and return it."""
        turn = self.turn(conversation_id)
        async with self.database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
            await turns.continue_(connection, turn, limit=20, busy=60.0)
        return turn

    async def one_of(self, conversation_id: UUID, number: int) -> UUID:
        """Return the question that so many messages are newer than."""
        async with self.database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
            page = await messages.page(connection, self.place(conversation_id), limit=number + 2)
        return next(each.id for each in page.messages if each.role == "user")

    async def read(self, ask: Ask, reach: Reach | None = None) -> Explaining:
        """Ask, and return how Postgres went about it, having seen that it walked through no table that grows."""
        async with self.database.one_statement(reach or Tenant(DEFAULT_TEAM_ID, Asker(self.user_id))) as connection:
            explaining = Explaining(connection, self.generic)
            await ask(cast("Connection", explaining))
        # A table of a page or two is read as a whole: nothing is quicker.
        small = set[str]() if self.crowded else {"conversations"}
        assert explaining.walked() & (GROWING - small) == set()
        assert explaining.visited("conversations") <= 200
        assert explaining.visited("interaction_logs", "turn_keys", "sessions", "users", "teams", "rate_limits") <= 10
        return explaining


@pytest.fixture(scope="module", params=["few conversations", "many teams"])
def filled(server_url: str, request: pytest.FixtureRequest) -> Generator[tuple[str, UUID, UUID, bool]]:
    crowded = request.param == "many teams"
    with own_database(server_url) as url:
        upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection:
            user_id = account(connection, DEFAULT_TEAM_ID)
            count = 1_000 if crowded else 6
            longest = fill(connection, user_id, conversations=count, messages=4, longest=LONG, longest_at=3)
            for _ in range(100 if crowded else 0):
                fill(connection, account(connection, team(connection)), conversations=2, messages=4, longest=4)
            for statement in (*_BESIDE, *_OF_MESSAGES):
                connection.execute(statement.encode())
        yield url, user_id, longest, crowded


@pytest.fixture(params=["for these", "for any"])
async def world(filled: tuple[str, UUID, UUID, bool], request: pytest.FixtureRequest) -> AsyncGenerator[World]:
    url, user_id, longest, crowded = filled
    database = Database(url)
    async with database.one_statement(EVERY_TEAM) as connection:
        await connection.execute(text("UPDATE conversations SET busy_until = NULL WHERE busy_until IS NOT NULL"))
    yield World(database, user_id, longest, request.param == "for any", crowded)
    await database.close()


@pytest.fixture(params=["the long one", "a short one", "an empty one"])
async def conversation_id(world: World, request: pytest.FixtureRequest) -> UUID:
    """A conversation of theirs."""
    if request.param == "the long one":
        return world.longest
    async with world.database.one_statement(Tenant(DEFAULT_TEAM_ID, Asker(world.user_id))) as connection:
        if request.param == "an empty one":
            made = await conversations.create(connection, world.owner, title=None, agent_id=None, metadata={})
            return made.id
        listed = await conversations.page(connection, world.owner, Wanted(limit=200, messages=4))
    return next(each.id for each in listed if 0 < len(each.messages) <= 4 and each.id != world.longest)


def hit(world: World) -> Hit:
    return Hit("chat", "user", str(world.user_id), 1_000)


async def test_a_turn_that_opens_a_conversation_reads_no_message(world: World) -> None:
    turn = world.turn(new_id(), opens=True)
    plan = await world.read(lambda connection: turns.begin(connection, turn, busy=60.0, hit=hit(world)))
    assert plan.visited("messages") == 0


async def test_a_turn_reads_the_history_that_it_is_given(world: World, conversation_id: UUID) -> None:
    turn = world.turn(conversation_id)
    plan = await world.read(lambda connection: turns.continue_(connection, turn, limit=20, busy=60.0, hit=hit(world)))
    assert plan.visited("messages") <= 30


@pytest.mark.parametrize("kind", ["edit", "regenerate"])
@pytest.mark.parametrize("back", [2, 40])
async def test_a_branch_reads_its_history_and_what_it_puts_aside(
    world: World, kind: Literal["edit", "regenerate"], back: int
) -> None:
    await world.begun(world.longest)
    async with world.database.one_statement(EVERY_TEAM) as connection:
        await connection.execute(text("UPDATE conversations SET busy_until = NULL WHERE busy_until IS NOT NULL"))
    turn = world.turn(world.longest, branch=Branch(kind, await world.one_of(world.longest, back)))
    plan = await world.read(lambda connection: turns.continue_(connection, turn, limit=20, busy=60.0))
    assert plan.visited("messages") <= 40 + 3 * back


async def test_a_branch_off_a_branch_reads_what_it_shows_again(world: World) -> None:
    question = await world.one_of(world.longest, 6)
    aside = await world.one_of(world.longest, 0)
    for message_id in (question, aside):
        turn = world.turn(world.longest, branch=Branch("edit", message_id))
        plan = await world.read(lambda connection, turn=turn: turns.continue_(connection, turn, limit=20, busy=60.0))
        assert plan.visited("messages") <= 80
        async with world.database.one_statement(EVERY_TEAM) as connection:
            await connection.execute(text("UPDATE conversations SET busy_until = NULL WHERE busy_until IS NOT NULL"))


async def test_an_answer_is_saved_by_looking_at_its_own_row(world: World, conversation_id: UUID) -> None:
    turn = await world.begun(conversation_id)
    plan = await world.read(
        lambda connection: answers.finish(connection, turn, TurnResult("complete", "Yes.")), Tenant(DEFAULT_TEAM_ID)
    )
    assert plan.visited("messages") <= 3
    assert plan.visited("conversations") <= (10 if world.crowded else 200)


async def test_a_turn_that_was_not_begun_is_placed_by_its_neighbours(world: World, conversation_id: UUID) -> None:
    ended = EndedTurn(world.turn(conversation_id), TurnResult("complete", "Yes."), begun=False)
    plan = await world.read(lambda connection: answers.save_whole(connection, ended))
    assert plan.visited("messages") <= 10
    late = EndedTurn(ended.turn, TurnResult("complete", "Yes."), begun=False)
    plan = await world.read(lambda connection: answers.replay(connection, late))
    assert plan.visited("messages") <= 10


async def test_a_turn_that_others_have_passed_is_placed_by_its_neighbours(world: World) -> None:
    late = world.turn(world.longest)
    await world.begun(world.longest)
    ended = EndedTurn(late, TurnResult("complete", "Yes."), begun=False)
    plan = await world.read(lambda connection: answers.replay(connection, ended))
    assert plan.visited("messages") <= 15


async def test_an_answer_that_is_written_is_kept_followed_and_stopped_by_its_id(
    world: World, conversation_id: UUID
) -> None:
    turn = await world.begun(conversation_id)
    named: dict[str, Any] = {
        "team_id": DEFAULT_TEAM_ID,
        "user_id": world.user_id,
        "conversation_id": conversation_id,
        "message_id": turn.answer_id,
    }
    batch = Batch(turn.answer_id, DEFAULT_TEAM_ID, 1, b"events")
    plan = await world.read(lambda connection: streams.beat(connection, [batch], [turn.answer_id]), EVERY_TEAM)
    assert plan.visited("messages") <= 5
    asks: tuple[Ask, ...] = (
        lambda connection: streams.read(connection, **named, after=0),
        lambda connection: streams.status(connection, **named),
        lambda connection: streams.request_stop(connection, **named),
        lambda connection: turn_keys.find_repeat(connection, turn),
    )
    for ask in asks:
        plan = await world.read(ask)
        assert plan.visited("messages") <= 6


async def test_what_an_answer_leaves_to_do_reads_no_message(world: World, conversation_id: UUID) -> None:
    plan = await world.read(
        lambda connection: titles.set_title(connection, conversation_id, DEFAULT_TEAM_ID, "A title"),
        Tenant(DEFAULT_TEAM_ID),
    )
    assert plan.visited("messages") == 0


async def test_retention_reads_the_conversations_of_its_user(world: World) -> None:
    async with world.database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
        explaining = Explaining(connection, world.generic)
        bare = cast("Connection", explaining)
        await retention.retain_newest(bare, team_id=DEFAULT_TEAM_ID, user_id=world.user_id, default=5_000)
    assert explaining.visited("messages") == 0
    assert explaining.visited("conversations") <= 1_500


@pytest.mark.parametrize("more", [{}, {"archived": False}, {"pinned": False, "archived": False}], ids=str)
async def test_a_list_reads_what_it_shows(world: World, more: dict[str, Any]) -> None:
    plan = await world.read(
        lambda connection: conversations.page(connection, world.owner, Wanted(limit=50, messages=2, **more))
    )
    assert plan.visited("messages") <= 50 * 8


async def test_a_list_goes_on_where_it_ended(world: World) -> None:
    wanted = Wanted(limit=50, messages=2, after=world.longest)
    plan = await world.read(lambda connection: conversations.page(connection, world.owner, wanted))
    assert plan.visited("messages") <= 50 * 8


async def test_a_conversation_is_read_as_far_as_it_is_shown(world: World, conversation_id: UUID) -> None:
    middle = await world.one_of(world.longest, 1_000)
    place = world.place(conversation_id)
    asks: tuple[Ask, ...] = (
        lambda connection: conversations.find(connection, world.owner, conversation_id, messages=50),
        lambda connection: messages.page(connection, place, limit=50, before=middle),
        lambda connection: messages.page(connection, place, limit=50, after=middle),
        lambda connection: messages.page(connection, place, limit=50, before=middle, tree=True),
    )
    for ask in asks:
        plan = await world.read(ask)
        assert plan.visited("messages") <= 50 * 4


ASKERS: dict[str, Callable[[UUID], Asker]] = {
    "session": lambda user_id: Asker(user_id, session_id=user_id),
    "account": lambda user_id: Asker(user_id),
    "key": lambda user_id: Asker(user_id, key_id=user_id),
    "guest": lambda _: Asker(),
}


@pytest.mark.parametrize("who", ASKERS)
async def test_who_asks_is_looked_up(world: World, who: str) -> None:
    preface = Tenant(DEFAULT_TEAM_ID, ASKERS[who](world.user_id)).preface()
    sql, values = preface.asked
    statement = text(re.sub(r"\$(\d)", r":of_\1", sql.decode()))
    parameters = {f"of_{at}": value for at, value in enumerate(values, 1)}
    plan = await world.read(lambda connection: connection.execute(statement, parameters), EVERY_TEAM)
    assert plan.indexes() >= {"pk_teams"}
