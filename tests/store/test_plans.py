"""How Postgres goes about what conversations ask, where one account has a thousand of them, and one is very long.

Three hundred teams are small, and one is not, which the planner takes for as small as the others. What a statement may
read is bounded by what it answers with.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from bench.seed import account, fill, team
from lib.db.session import Connection, Database
from lib.db.tenant import EVERY_TEAM, Asker, Reach, Tenant
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.store import conversations, messages, search, turns
from lib.store.conversations import Owner, Wanted
from lib.store.messages import Place
from lib.turns import Branch, TurnRecord
from scripts.init_db import upgrade
from tests.fixtures.postgres import own_database
from tests.store.explaining import Explaining


@dataclass(frozen=True)
class Skewed:
    """A database in which one account has much, and three hundred have little."""

    database: Database
    user_id: UUID
    longest: UUID

    @property
    def owner(self) -> Owner:
        return Owner(team_id=DEFAULT_TEAM_ID, user_id=self.user_id)

    @property
    def place(self) -> Place:
        return Place(team_id=DEFAULT_TEAM_ID, user_id=self.user_id, conversation_id=self.longest)

    async def one_of_the_newest(self, number: int) -> UUID:
        """Return the message of the long conversation that so many are not older than."""
        async with self.database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
            return (await messages.page(connection, self.place, limit=number)).messages[0].id

    async def explain(self, ask: Callable[[Connection], Awaitable[object]], reach: Reach | None = None) -> Explaining:
        """Return how Postgres goes about what `ask` asks, behind the wall or as far as is said."""
        async with self.database.one_statement(reach or Tenant(DEFAULT_TEAM_ID, Asker(self.user_id))) as connection:
            explaining = Explaining(connection)
            await ask(cast("Connection", explaining))
        return explaining


@pytest.fixture(scope="module")
def skewed_url(server_url: str) -> Generator[str]:
    with own_database(server_url) as url:
        upgrade(url)
        yield url


@pytest.fixture(scope="module")
def filled(skewed_url: str) -> tuple[UUID, UUID]:
    """The account with much, and its longest conversation."""
    with psycopg.connect(skewed_url, autocommit=True) as connection:
        user_id = account(connection, DEFAULT_TEAM_ID)
        longest = fill(connection, user_id, conversations=1_000, messages=4, longest=10_000)
        for _ in range(300):
            fill(connection, account(connection, team(connection)), conversations=2, messages=4, longest=4)
        connection.execute("VACUUM ANALYZE")
    return user_id, longest


@pytest.fixture
async def skewed(skewed_url: str, filled: tuple[UUID, UUID]) -> AsyncGenerator[Skewed]:
    database = Database(skewed_url)
    yield Skewed(database, *filled)
    await database.close()


PATH = "ix_messages_conversation_id_active_id"
NEWEST = "ix_conversations_newest"


async def test_a_list_reads_what_it_shows(skewed: Skewed) -> None:
    after = list[UUID]()

    async def ask(connection: Connection, **more: Any) -> None:
        found = await conversations.page(connection, skewed.owner, Wanted(limit=50, messages=2, **more))
        after.append(found[-1].id)
        assert len(found) == 50
        assert all(len(each.messages) == 2 and each.has_more for each in found)

    for more in ({}, {"archived": False}, {"after": None}):
        wanted = {"after": after[-1]} if "after" in more else more
        plan = await skewed.explain(lambda connection, wanted=wanted: ask(connection, **wanted))
        assert {PATH, NEWEST} <= plan.indexes()
        assert plan.walked() & {"messages", "conversations"} == set()
        assert plan.visited("messages") < 50 * 10
        assert plan.visited("conversations") <= 60


@pytest.mark.parametrize("count", [200, 2])
async def test_a_conversation_is_read_as_far_as_it_is_shown(skewed: Skewed, count: int) -> None:
    plan = await skewed.explain(
        lambda connection: conversations.find(connection, skewed.owner, skewed.longest, messages=count)
    )
    assert PATH in plan.indexes()
    assert plan.walked() & {"messages", "conversations"} == set()
    assert plan.visited("messages") < count * 5 + 10


@pytest.mark.parametrize("where", ["newest", "before", "after", "before in the tree"])
async def test_a_page_is_read_as_far_as_it_is_shown(skewed: Skewed, where: str) -> None:
    side, _, tree = where.partition(" ")
    middle = await skewed.one_of_the_newest(1_000)
    plan = await skewed.explain(
        lambda connection: messages.page(
            connection,
            skewed.place,
            limit=50,
            before=middle if side == "before" else None,
            after=middle if side == "after" else None,
            tree=bool(tree),
        )
    )
    assert PATH in plan.indexes()
    assert plan.walked() & {"messages", "conversations"} == set()
    assert plan.visited("messages") < 50 * 6


async def test_a_message_is_looked_up(skewed: Skewed) -> None:
    last = await skewed.one_of_the_newest(1)

    async def ask(connection: Connection) -> None:
        await messages.find(connection, skewed.place, last)
        await messages.rate(connection, skewed.place, last, rating="up", comment=None)

    plan = await skewed.explain(ask)
    assert plan.walked() & {"messages", "conversations"} == set()
    assert plan.visited("messages") < 20


async def test_a_branch_is_switched_to_by_looking_at_its_own_conversation(skewed: Skewed) -> None:
    middle = await skewed.one_of_the_newest(1_000)
    plan = await skewed.explain(lambda connection: messages.activate(connection, skewed.place, middle))
    assert plan.walked() & {"messages", "conversations"} == set()
    assert plan.visited("messages") < 10_000 * 3


async def test_a_search_reads_ones_own_messages_alone(skewed: Skewed) -> None:
    owner = {"team_id": DEFAULT_TEAM_ID, "user_id": skewed.user_id}
    plan = await skewed.explain(
        lambda connection: search.search(connection, **owner, query="lanterns", limit=20, offset=0)
    )
    assert "messages" not in plan.walked()
    assert 10_000 < plan.visited("messages") < 15_000  # of 16,400; what a look-up finds is told rounded


@pytest.mark.parametrize("kind", [None, "edit", "regenerate"])
async def test_a_turn_reads_the_end_of_its_conversation(skewed: Skewed, kind: Any) -> None:
    async with skewed.database.one_statement(Tenant(DEFAULT_TEAM_ID)) as connection:
        await connection.execute(text("UPDATE conversations SET busy_until = NULL WHERE busy_until IS NOT NULL"))
    turn = TurnRecord(
        team_id=DEFAULT_TEAM_ID,
        user_id=skewed.user_id,
        conversation_id=skewed.longest,
        question_id=new_id(),
        answer_id=new_id(),
        question="And then?",
        opens=False,
        branch=Branch(kind, await skewed.one_of_the_newest(2)) if kind else None,
    )
    plan = await skewed.explain(lambda connection: turns.continue_(connection, turn, limit=20, busy=60.0))
    assert plan.walked() & {"messages", "conversations"} == set()
    assert PATH in plan.indexes()
    assert plan.visited("messages") < 50


async def test_a_walk_from_end_to_end_is_noticed(skewed: Skewed) -> None:
    everything = text("SELECT count(parts) FROM messages")
    plan = await skewed.explain(lambda connection: connection.execute(everything), EVERY_TEAM)
    assert plan.walked() == {"messages"}
    assert plan.visited("messages") > 16_000
    plan = await skewed.explain(lambda connection: connection.execute(everything))
    assert plan.visited("messages") > 14_000
