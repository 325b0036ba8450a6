"""Signed-in people, each with a conversation that has a history: who asks Parley, and `bench/relays/usual.py`."""

import json
import os
from pathlib import Path
from typing import Final

import jwt
import psycopg

from bench.load import Request
from bench.seed import account, fill, team
from lib.db.events import NO_CLIENT
from lib.ids import new_id
from lib.settings import get_settings
from lib.web.instance import Instance

SECRET: Final = "a-secret-of-the-benchmark-long-enough"  # noqa: S105
HISTORY: Final = 20
"""Messages in each conversation."""
QUESTION: Final = "What does Parley keep of a conversation, and for how long?"


async def askers(url: str, count: int, *, webhook: str | None = None) -> list[Request]:
    """Return a question for each of so many people, as `POST /api/v1/chat/stream` takes it.

    Args:
        url: the database.
        count: how many people.
        webhook: the workflow that their conversations are with; None for the deployment's own model.
    """
    instance = Instance(get_settings(Path(os.devnull), DATABASE_URL=url, jwt_secret_key=SECRET))
    requests: list[Request] = []
    with psycopg.connect(url, autocommit=True) as connection:
        team_id = team(connection)
        for _ in range(count):
            user_id = account(connection, team_id)
            conversation_id = fill(connection, user_id, conversations=1, messages=HISTORY, longest=HISTORY)
            tokens = await instance.sessions.begin(
                user_id=user_id, team_id=team_id, role="user", method="password", client=NO_CLIENT
            )
            body = {"message": {"content": QUESTION}, "conversation_id": str(conversation_id)}
            headers = {"Authorization": f"Bearer {tokens.access}"}
            requests.append(Request("/api/v1/chat/stream", json.dumps(body).encode(), headers))
        if webhook is not None:
            agent_id = new_id()
            connection.execute(
                "INSERT INTO agents (id, team_id, name, kind, webhook_url) VALUES (%s, %s, 'Workflow', 'webhook', %s)",
                [agent_id, team_id, webhook],
            )
            connection.execute("UPDATE conversations SET agent_id = %s WHERE team_id = %s", [agent_id, team_id])
        connection.execute("VACUUM ANALYZE")
    await instance.close()
    return requests


_SAID: Final = """
    INSERT INTO messages (conversation_id, user_id, role, content, created_at)
    SELECT conversation, conversation, CASE number %% 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
        'Message ' || number || repeat(', and what is said of it by whoever has been there', 4), now()
    FROM generate_series(1, %s) AS conversation, generate_series(1, %s) AS number
"""


def askers_of_usual(url: str, count: int) -> list[Request]:
    """Return the same for `bench/relays/usual.py`, once it serves.

    Args:
        url: its database.
        count: how many people.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_SAID.encode(), [count, HISTORY])
        connection.execute("VACUUM ANALYZE")
    return [
        Request(
            "/chat",
            json.dumps({"conversation_id": person, "content": QUESTION}).encode(),
            {"Authorization": f"Bearer {jwt.encode({'sub': str(person)}, SECRET)}"},
        )
        for person in range(1, count + 1)
    ]
