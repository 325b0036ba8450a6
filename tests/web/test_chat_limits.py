"""How many turns a minute: counted by the turn's own statement, and nothing is done for one that is refused."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy, asked
from tests.doubles.upstream import Script
from tests.fixtures.people import Asker, someone
from tests.fixtures.web import INTERNAL_KEY, Deploy, Deployment, Rows, question

PATHS = ["/api/v1/chat", "/api/v1/chat/stream"]


@pytest.fixture
def on_vercel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERCEL", "1")


def guest_at(parley: Deployment, address: str | None = None) -> Asker:
    """Return a guest whose address is nobody else's."""
    number = uuid4().int
    own = address or f"10.{number % 256}.{number // 256 % 256}.{number // 65536 % 256}"
    return Asker(parley.url, headers={"x-vercel-forwarded-for": own})


async def chat(asker: Asker, path: str = PATHS[0], **body: Any) -> httpx.Response:
    return await asker.ask("POST", path, json=question("What is Parley?", **body))


async def stored(rows: Rows, user_id: UUID | None) -> list[dict[str, Any]]:
    """Return everything of a user's turns."""
    return await rows(
        "SELECT c.id, c.updated_at, m.id, m.parts FROM conversations c JOIN messages m ON m.conversation_id = c.id"
        " WHERE c.user_id = %s ORDER BY m.id",
        user_id,
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("continues", [False, True])
async def test_a_turn_beyond_the_limit_is_refused_and_does_nothing(
    deploy: Deploy, rows: Rows, openai_double: OpenAIServer, path: str, continues: bool
) -> None:
    parley = await deploy(rate_limits={"chat": 2})
    user = await someone(parley)
    opened = (await chat(user)).json()["response"]["conversation_id"]
    conversation_id = opened if continues else None
    second = await chat(user, path, conversation_id=conversation_id)
    assert (second.status_code, second.headers["ratelimit-limit"], second.headers["ratelimit-remaining"]) == (
        200,
        "2",
        "0",
    )
    before, asked = await stored(rows, user.id), len(openai_double.calls)

    refused = await chat(user, path, conversation_id=conversation_id)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["content-type"] == "application/json"
    assert 55 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-remaining"] == "0"
    assert (await stored(rows, user.id), len(openai_double.calls)) == (before, asked)

    await rows(
        "UPDATE rate_limits SET began_at = began_at - interval '1 minute' WHERE key = %s", f"chat:user:{user.id}"
    )
    assert (await chat(user, path, conversation_id=conversation_id)).status_code == 200


async def test_twenty_at_once_are_five(deploy: Deploy) -> None:
    one, other = await deploy(rate_limits={"chat": 5}), await deploy(rate_limits={"chat": 5})
    user = await someone(one)
    answers = await asyncio.gather(*(chat(user.at(parley)) for parley in [one, other] * 10))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 15


@pytest.mark.usefixtures("on_vercel")
async def test_a_user_is_counted_from_wherever_and_their_program_with_them(deploy: Deploy) -> None:
    parley = await deploy(rate_limits={"chat": 2})
    user = await someone(parley)
    program = await user.key("chat")
    user.headers["x-vercel-forwarded-for"] = "192.0.2.1"
    program.headers["x-vercel-forwarded-for"] = "192.0.2.2"
    assert [(await chat(asker)).status_code for asker in (user, program, user, program)] == [200, 200, 429, 429]


@pytest.mark.usefixtures("on_vercel")
async def test_guests_are_counted_by_their_address(deploy: Deploy) -> None:
    parley = await deploy(rate_limits={"chat": 1})
    one, other = guest_at(parley), guest_at(parley)
    assert [(await chat(guest)).status_code for guest in (one, one, other)] == [200, 429, 200]
    network = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}"
    near = [guest_at(parley, f"{network}::{number}") for number in (1, 2)]
    assert [(await chat(guest)).status_code for guest in near] == [200, 429]


@pytest.mark.usefixtures("on_vercel")
async def test_whoever_names_another_user_is_counted_as_the_guest_that_their_turn_is(
    deploy: Deploy, rows: Rows
) -> None:
    parley = await deploy(rate_limits={"chat": 1})
    victim, guest = await someone(parley), guest_at(parley)
    assert [(await chat(guest, user_id=str(victim.id))).status_code for _ in range(2)] == [200, 429]
    assert await rows("SELECT 1 FROM rate_limits WHERE key = %s", f"chat:user:{victim.id}") == []
    assert (await chat(victim)).status_code == 200


async def test_our_own_servers_have_no_limit(deploy: Deploy) -> None:
    parley = await deploy(rate_limits={"chat": 1})
    user = await someone(parley)
    server = Asker(parley.url, headers={"X-Internal-API-Key": INTERNAL_KEY})
    asked = [await chat(server, user_id=str(user.id)) for _ in range(3)]
    assert [(response.status_code, "ratelimit-limit" in response.headers) for response in asked] == [(200, False)] * 3


@pytest.mark.parametrize("conversation_id", [None, "0b2f4a55-8c1d-4f6e-9a37-5d1c0e7b9f42"])
async def test_who_is_signed_in_no_longer_uses_up_nobodys_turns(
    deploy: Deploy, rows: Rows, conversation_id: str | None
) -> None:
    parley = await deploy(rate_limits={"chat": 1})
    user = await someone(parley)
    await rows("UPDATE sessions SET revoked_at = now() WHERE user_id = %s", user.id)
    assert (await chat(user, conversation_id=conversation_id)).status_code == 401
    assert await rows("SELECT 1 FROM rate_limits WHERE key = %s", f"chat:user:{user.id}") == []


async def test_while_the_database_is_away_everybody_is_answered(deploy: Deploy, proxy: PostgresProxy) -> None:
    parley = await deploy(DATABASE_URL=proxy.url, rate_limits={"chat": 1})
    user = await someone(parley)
    proxy.refuse()
    asked = [await chat(user) for _ in range(3)]
    assert [(response.status_code, response.json()["response"]["saved"]) for response in asked] == [(200, False)] * 3


async def counted(rows: Rows, user: Asker) -> int:
    (row,) = await rows("SELECT hits FROM rate_limits WHERE key = %s", f"chat:user:{user.id}")
    return row["hits"]


async def test_a_turn_whose_conversation_still_waits_counts_once(
    deploy: Deploy, proxy: PostgresProxy, rows: Rows
) -> None:
    away, fresh = await deploy(DATABASE_URL=proxy.url), await deploy(rate_limits={"chat": 5})
    user = await someone(away)
    proxy.refuse()
    opened = (await chat(user)).json()["response"]
    assert opened["spooled"] is True
    second = await chat(user.at(fresh), conversation_id=opened["conversation_id"])
    assert second.json()["response"]["saved"] is True
    assert await counted(rows, user) == 1


async def test_a_turn_counts_once_whose_ids_were_made_too_early(deploy: Deploy, rows: Rows) -> None:
    parley = await deploy(rate_limits={"chat": 5})
    user = await someone(parley)
    opened = UUID((await chat(user)).json()["response"]["conversation_id"])
    await rows(
        "UPDATE conversations SET answer_id = %s WHERE id = %s", UUID("ffffffff-0000-7000-8000-000000000000"), opened
    )
    assert (await chat(user, conversation_id=str(opened))).json()["response"]["saved"] is True
    assert await counted(rows, user) == 2


async def test_counting_costs_no_round_trip(deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer) -> None:
    parley = await deploy(DATABASE_URL=proxy.url, rate_limits={"chat": 60})
    user = await someone(parley)
    proxy.messages = 0
    conversation_id = (await chat(user)).json()["response"]["conversation_id"]
    await asked(proxy, 3)  # what is dropped is dropped after the answer
    openai_double.play(Script(silent=True))
    await openai_double.next_call()
    proxy.messages = 0
    asking = asyncio.create_task(chat(user, conversation_id=conversation_id))
    await openai_double.next_call()
    assert proxy.messages == 1
    openai_double.resume()
    assert (await asking).headers["ratelimit-remaining"] == "58"
