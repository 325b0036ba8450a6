"""What still works while Postgres is away."""

import asyncio
from uuid import UUID

from lib.breaker import THRESHOLD
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.web import PASSWORD, Deploy, Rows

ACCOUNT = {"email": "nobody@example.com", "password": PASSWORD}


async def test_chat_answers_unsaved_and_accounts_say_unavailable(deploy: Deploy, proxy: PostgresProxy) -> None:
    proxy.refuse()
    parley = await deploy(DATABASE_URL=proxy.url)
    answer = (await parley.ask()).json()["response"]
    assert (answer["content"], answer["status"], answer["saved"]) == ("Hello, world.", "success", False)
    assert (await parley.stream())[-1]["saved"] is False
    for path in ("/api/v1/auth/register", "/api/v1/auth/login"):
        response = await parley.client.post(path, json=ACCOUNT)
        assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")


async def test_an_open_breaker_costs_a_turn_nothing(deploy: Deploy, proxy: PostgresProxy) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    await parley.ask()
    proxy.refuse()
    await parley.ask()
    await parley.ask()
    before = proxy.connections
    assert (await parley.ask()).json()["response"]["saved"] is False
    assert proxy.connections == before


async def test_a_conversation_goes_on_without_its_history(deploy: Deploy, proxy: PostgresProxy) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    await parley.sign_up()
    conversation_id = (await parley.ask()).json()["response"]["conversation_id"]
    proxy.refuse()
    answer = (await parley.ask("Go on", conversation_id=conversation_id)).json()["response"]
    assert (answer["conversation_id"], answer["saved"]) == (conversation_id, False)


async def test_an_answer_whose_question_could_not_be_kept_is_kept_whole_once_the_database_is_back(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer, rows: Rows
) -> None:
    openai_double.play(Script(silent=True))
    parley = await deploy(DATABASE_URL=proxy.url)
    proxy.refuse()
    asking = asyncio.create_task(parley.ask("Was this kept whole?"))
    await openai_double.next_call()
    proxy.heal()
    openai_double.resume()
    assert (await asking).json()["response"]["saved"] is True
    kept = await rows(
        "SELECT b.role, b.status FROM messages a JOIN messages b USING (conversation_id)"
        " WHERE a.parts #>> '{0,text}' = 'Was this kept whole?' ORDER BY b.id"
    )
    assert kept == [{"role": "user", "status": "complete"}, {"role": "assistant", "status": "complete"}]


async def test_a_question_whose_commit_was_not_heard_of_is_answered_in_its_place(
    deploy: Deploy, proxy: PostgresProxy, rows: Rows
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    await parley.ask()
    proxy.swallow()
    answer = (await parley.ask("Was this heard?")).json()["response"]
    assert answer["saved"] is True
    (stored,) = await rows("SELECT status, parts FROM messages WHERE id = %s", UUID(answer["message_id"]))
    assert stored == {"status": "complete", "parts": [{"type": "text", "text": "Hello, world."}]}


async def test_an_answer_that_cannot_be_saved_says_so(
    deploy: Deploy, proxy: PostgresProxy, openai_double: OpenAIServer
) -> None:
    openai_double.play(Script(stall_at=2))
    parley = await deploy(DATABASE_URL=proxy.url)
    streaming = asyncio.create_task(parley.stream())
    await openai_double.next_call()
    proxy.refuse()
    openai_double.resume()
    last = (await streaming)[-1]
    assert (last["status"], last["content"], last["saved"]) == ("success", "Hello, world.", False)


async def test_a_connection_that_died_between_two_turns_is_replaced_unnoticed(
    deploy: Deploy, proxy: PostgresProxy
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    assert (await parley.ask()).json()["response"]["saved"] is True
    proxy.drop()
    assert (await parley.ask()).json()["response"]["saved"] is True


async def test_a_database_that_lets_us_in_and_falls_silent_is_hung_up_on(deploy: Deploy, proxy: PostgresProxy) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    proxy.stall_after_login()
    async with asyncio.timeout(15):
        assert (await parley.ask()).json()["response"]["saved"] is False


async def test_a_database_that_lets_us_in_and_hangs_up_is_away(deploy: Deploy, proxy: PostgresProxy) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    proxy.drop_after_login()
    for _ in range(THRESHOLD):
        assert (await parley.ask()).json()["response"]["saved"] is False
    tried = proxy.connections
    assert (await parley.ask()).json()["response"]["saved"] is False
    assert proxy.connections == tried


async def test_a_silent_database_delays_an_answer_by_its_budget_at_most(deploy: Deploy, proxy: PostgresProxy) -> None:
    parley = await deploy(DATABASE_URL=proxy.url)
    assert (await parley.ask()).json()["response"]["saved"] is True
    proxy.stall()
    async with asyncio.timeout(15):
        assert (await parley.ask()).json()["response"]["saved"] is False
