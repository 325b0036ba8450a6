"""The internal save of the book's document."""

from uuid import UUID, uuid4

from tests.fixtures.web import INTERNAL_KEY, Deploy, Deployment, Rows

PATH = "/api/v1/conversations/internal-save"
KEY = {"X-Internal-API-Key": INTERNAL_KEY}


async def test_an_exchange_is_saved_as_a_conversation_of_its_user(parley: Deployment, rows: Rows) -> None:
    account = await parley.sign_up()
    body = {"user_id": str(account), "query": "User's query", "response": "AI's response"}
    response = await parley.client.post(PATH, json=body, headers=KEY)
    assert response.status_code == 201
    assert response.json()["saved"] is True
    stored = await rows(
        "SELECT c.user_id, c.title, m.role, m.status, m.parts #>> '{0,text}' AS said"
        " FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE c.id = %s ORDER BY m.id",
        UUID(response.json()["conversation_id"]),
    )
    user = {"user_id": account, "title": "User's query", "status": "complete"}
    assert stored == [
        user | {"role": "user", "said": "User's query"},
        user | {"role": "assistant", "said": "AI's response"},
    ]


async def test_saving_drops_what_is_beyond_the_newest(deploy: Deploy, rows: Rows) -> None:
    parley = await deploy(retention_conversations=2)
    account = await parley.sign_up()
    for number in range(4):
        body = {"user_id": str(account), "query": f"Question {number}", "response": "Yes."}
        assert (await parley.client.post(PATH, json=body, headers=KEY)).status_code == 201
    kept = await rows("SELECT title FROM conversations WHERE user_id = %s ORDER BY id", account)
    assert [row["title"] for row in kept] == ["Question 2", "Question 3"]


async def test_only_the_internal_key_may_save(deploy: Deploy) -> None:
    parley = await deploy()
    account = await parley.sign_up()
    body = {"user_id": str(account), "query": "Q", "response": "A"}
    for headers in ({}, {"X-Internal-API-Key": "wrong"}, {"X-Internal-API-Key": ""}):
        response = await parley.client.post(PATH, json=body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


async def test_without_a_key_configured_there_is_nothing_here(deploy: Deploy) -> None:
    parley = await deploy(internal_api_key=None)
    body = {"user_id": str(uuid4()), "query": "Q", "response": "A"}
    for headers in ({}, KEY):
        response = await parley.client.post(PATH, json=body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_an_unknown_user_is_not_found(parley: Deployment) -> None:
    body = {"user_id": str(uuid4()), "query": "Q", "response": "A"}
    response = await parley.client.post(PATH, json=body, headers=KEY)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
