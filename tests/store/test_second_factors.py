"""Second factors, in the database: each step is one statement, and of two at once one comes first."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
import pytest

from lib.db.events import EventKind, SecurityEvent, new_event
from lib.db.session import Database
from lib.db.tenant import Tenant
from lib.ids import new_id
from lib.store import second_factors, security_events
from lib.store.second_factors import SecondFactor
from tests.fixtures.web import Rows


@dataclass(frozen=True)
class Account:
    """An account of a team of its own, and the database as that team sees it."""

    id: UUID
    team_id: UUID
    database: Database

    def event(self, kind: EventKind) -> SecurityEvent:
        return new_event(kind, team_id=self.team_id, user_id=self.id)

    async def begin(self, sealed_secret: bytes) -> bool:
        async with self.database.one_statement(Tenant(self.team_id)) as connection:
            return await second_factors.begin(
                connection, user_id=self.id, team_id=self.team_id, sealed_secret=sealed_secret
            )

    async def confirm(self, sealed_secret: bytes, *, step: int = 10, code_hashes: Sequence[bytes] = ()) -> bool:
        async with self.database.one_statement(Tenant(self.team_id)) as connection:
            return await second_factors.confirm(
                connection,
                self.event("second_factor_enabled"),
                sealed_secret=sealed_secret,
                step=step,
                code_hashes=code_hashes,
            )

    async def take(self, step: int, sealed_secret: bytes = b"one") -> bool:
        async with self.database.one_statement(Tenant(self.team_id)) as connection:
            return await second_factors.take_step(connection, user_id=self.id, sealed_secret=sealed_secret, step=step)

    async def use(self, code_hash: bytes) -> bool:
        async with self.database.one_statement(Tenant(self.team_id)) as connection:
            event = self.event("recovery_code_used")
            return await second_factors.use_recovery_code(connection, event, code_hash=code_hash)

    async def replace(self, code_hashes: Sequence[bytes]) -> bool:
        async with self.database.one_statement(Tenant(self.team_id)) as connection:
            event = self.event("recovery_codes_made")
            return await second_factors.replace_recovery_codes(connection, event, code_hashes=code_hashes)

    async def remove(self) -> bool:
        async with self.database.one_statement(Tenant(self.team_id)) as connection:
            return await second_factors.remove(connection, self.event("second_factor_disabled"))

    async def found(self) -> SecondFactor:
        async with self.database.one_statement(Tenant(self.team_id)) as connection:
            found = await second_factors.find(connection, self.id)
        assert found
        return found

    async def events(self) -> list[tuple[EventKind, object]]:
        """What was written down, the oldest first."""
        async with self.database.one_statement(Tenant(self.team_id)) as connection:
            page = await security_events.page(connection, team_id=self.team_id, limit=100)
        return [(event.kind, dict(event.detail)) for event in reversed(page)]


@pytest.fixture
async def account(database_url: str, rows: Rows) -> AsyncGenerator[Account]:
    (team,) = await rows("INSERT INTO teams (name, slug) VALUES ('Team', %s) RETURNING id", uuid4().hex)
    user_id = new_id()
    await rows(
        "INSERT INTO users (id, team_id, email, password_hash) VALUES (%s, %s, 'ada@example.com', 'hash')",
        user_id,
        team["id"],
    )
    database = Database(database_url)
    yield Account(user_id, team["id"], database)
    await database.close()


async def test_an_account_without_a_second_factor_says_so(account: Account) -> None:
    assert await account.found() == SecondFactor("ada@example.com", "hash", None, None, 0)


async def test_what_was_begun_is_replaced_and_what_was_confirmed_is_not(account: Account) -> None:
    assert await account.begin(b"one")
    assert await account.begin(b"two")
    assert (await account.found()).sealed_secret == b"two"
    assert not await account.confirm(b"one")
    assert (await account.found()).confirmed_at is None
    assert await account.confirm(b"two")
    assert not await account.confirm(b"two", step=11)
    assert not await account.begin(b"three")
    kept = await account.found()
    assert (kept.sealed_secret, kept.confirmed_at is None) == (b"two", False)
    assert await account.events() == [("second_factor_enabled", {})]


async def test_what_was_only_begun_takes_no_code_and_is_not_removed(account: Account) -> None:
    await account.begin(b"one")
    assert not await account.take(11)
    assert not await account.replace([b"code"])
    assert not await account.remove()
    assert (await account.found()).sealed_secret == b"one"
    assert await account.events() == []


async def test_a_step_is_taken_once_and_none_before_it(account: Account) -> None:
    await account.begin(b"one")
    await account.confirm(b"one", step=10)
    taken = {step: await account.take(step) for step in (10, 9, 11)}
    assert taken == {10: False, 9: False, 11: True}
    assert not await account.take(12, b"two")
    assert not await account.take(11)
    assert await account.take(13)


async def test_of_twenty_who_take_a_step_at_once_one_gets_it(account: Account) -> None:
    await account.begin(b"one")
    await account.confirm(b"one")
    assert sum(await asyncio.gather(*(account.take(11) for _ in range(20)))) == 1


async def test_of_twenty_who_confirm_at_once_one_does(account: Account) -> None:
    await account.begin(b"one")
    sets = [[f"{number}-{each}".encode() for each in range(10)] for number in range(20)]
    done = await asyncio.gather(*(account.confirm(b"one", code_hashes=each) for each in sets))
    assert sum(done) == 1
    assert (await account.found()).codes_left == 10
    assert await account.use(sets[done.index(True)][0])
    assert [kind for kind, _ in await account.events()] == ["second_factor_enabled", "recovery_code_used"]


async def test_a_recovery_code_works_once_also_for_twenty_at_once(account: Account) -> None:
    await account.begin(b"one")
    await account.confirm(b"one", code_hashes=[b"code", b"other"])
    assert sum(await asyncio.gather(*(account.use(b"code") for _ in range(20)))) == 1
    assert not await account.use(b"nobody's")
    assert (await account.found()).codes_left == 1
    assert await account.events() == [("second_factor_enabled", {}), ("recovery_code_used", {"left": 1})]


async def test_fresh_codes_void_all_others(account: Account, rows: Rows) -> None:
    await account.begin(b"one")
    await account.confirm(b"one", code_hashes=[b"old", b"used"])
    await account.use(b"used")
    assert await account.replace([b"new", b"newer"])
    assert not await account.use(b"old")
    assert (await account.found()).codes_left == 2
    assert await account.use(b"new")
    kept = await rows("SELECT code_hash FROM recovery_codes WHERE user_id = %s ORDER BY code_hash", account.id)
    assert [row["code_hash"] for row in kept] == [b"new", b"newer"]


async def test_of_sets_that_are_made_at_once_one_counts(account: Account) -> None:
    await account.begin(b"one")
    await account.confirm(b"one", code_hashes=[b"old"])
    sets = [[f"{number}-{each}".encode() for each in range(10)] for number in range(20)]
    assert all(await asyncio.gather(*(account.replace(each) for each in sets)))
    assert (await account.found()).codes_left == 10
    works = [[await account.use(code) for code in each] for each in sets]
    assert sorted(map(sum, works)) == [0] * 19 + [10]
    assert not await account.use(b"old")


async def test_of_two_sets_the_one_that_is_made_last_counts(account: Account, rows: Rows, database_url: str) -> None:
    await account.begin(b"one")
    await account.confirm(b"one", code_hashes=[b"old"])
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT FROM second_factors WHERE user_id = %s FOR UPDATE", [account.id])
        making = asyncio.create_task(account.replace([b"last"]))
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%recovery_codes%%'"
        while not making.done() and not await rows(waiting):
            pass
        insert = "INSERT INTO recovery_codes (user_id, team_id, code_hash, created_at)"
        await other.execute(f"{insert} VALUES (%s, %s, 'first', clock_timestamp())", [account.id, account.team_id])
    assert await making
    assert not await account.use(b"first")
    assert await account.use(b"last")


@pytest.mark.parametrize("step", ["begin", "confirm", "replace", "remove"])
async def test_an_account_that_is_deleted_meanwhile_is_waited_for_and_nobody_waits_in_a_circle(
    account: Account, rows: Rows, database_url: str, step: str
) -> None:
    await account.begin(b"one")
    if step in {"replace", "remove"}:
        await account.confirm(b"one", code_hashes=[b"code"])
    steps = {
        "begin": lambda: account.begin(b"two"),
        "confirm": lambda: account.confirm(b"one", code_hashes=[b"code"]),
        "replace": lambda: account.replace([b"new"]),
        "remove": account.remove,
    }
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [account.id])
        stepping = asyncio.create_task(steps[step]())
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%second_factors%%'"
        async with asyncio.timeout(2):
            while not stepping.done() and not await rows(waiting):
                pass
        await other.execute("DELETE FROM users WHERE id = %s", [account.id])
    assert await stepping is False
    assert await account.events() == ([("second_factor_enabled", {})] if step in {"replace", "remove"} else [])


async def test_what_is_removed_takes_its_codes_along(account: Account, rows: Rows) -> None:
    await account.begin(b"one")
    await account.confirm(b"one", code_hashes=[b"code"])
    assert await account.remove()
    assert not await account.remove()
    assert not await account.take(11)
    assert not await account.use(b"code")
    assert await rows("SELECT code_hash FROM recovery_codes WHERE user_id = %s", account.id) == []
    assert [kind for kind, _ in await account.events()] == ["second_factor_enabled", "second_factor_disabled"]


async def test_a_code_of_a_second_factor_that_is_gone_does_not_work_with_the_next(account: Account, rows: Rows) -> None:
    # As two statements at once may leave it behind.
    insert = "INSERT INTO recovery_codes (user_id, team_id, code_hash, created_at) VALUES (%s, %s, 'orphan', now())"
    await rows(insert, account.id, account.team_id)
    await account.begin(b"one")
    assert not await account.use(b"orphan")
    await account.confirm(b"one", code_hashes=[b"code"])
    assert not await account.use(b"orphan")
    assert (await account.found()).codes_left == 1


async def test_another_team_finds_and_changes_nothing(account: Account, rows: Rows) -> None:
    await account.begin(b"one")
    await account.confirm(b"one", code_hashes=[b"code"])
    (team,) = await rows("INSERT INTO teams (name, slug) VALUES ('Other', %s) RETURNING id", uuid4().hex)
    stranger = Account(account.id, team["id"], account.database)
    async with stranger.database.one_statement(Tenant(stranger.team_id)) as connection:
        assert await second_factors.find(connection, account.id) is None
    assert not await stranger.take(11)
    assert not await stranger.use(b"code")
    assert not await stranger.replace([b"theirs"])
    assert not await stranger.remove()
    assert (await account.found()).codes_left == 1
