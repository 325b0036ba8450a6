"""Accounts with much and with little in them, written straight into the tables."""

from typing import Final
from uuid import UUID

import psycopg

from lib.ids import new_id

_ID: Final = "CAST(lpad(to_hex(%(at)s::bigint + {number}), 12, '0') || '70008' || substr(md5({salt}), 1, 15) AS uuid)"
"""A UUIDv7 of SQL: its time is a number of milliseconds, its random bits are those of a text."""

_CONVERSATIONS: Final = f"""
    INSERT INTO conversations (id, team_id, user_id, title, created_at, updated_at)
    SELECT {_ID.format(number="number", salt="%(user_id)s::text || number")}, users.team_id, users.id,
        'Conversation ' || number, now() - interval '40 days' + number * interval '1 minute',
        now() - interval '40 days' + number * interval '1 minute'
    FROM users, generate_series(1, %(conversations)s) AS number WHERE users.id = %(user_id)s
"""  # noqa: S608
_MESSAGES: Final = f"""
    WITH own AS (
        SELECT id, team_id, row_number() OVER (ORDER BY updated_at DESC, id DESC) AS place
        FROM conversations WHERE user_id = %(user_id)s
    ), said AS (
        SELECT own.id AS conversation_id, own.team_id, number,
            {_ID.format(number="number", salt="own.id::text || number")} AS id
        FROM own, LATERAL generate_series(
            1, CASE WHEN place = %(longest_at)s THEN %(longest)s ELSE %(messages)s END
        ) AS number
    )
    INSERT INTO messages (id, team_id, conversation_id, parent_id, role, status, parts)
    SELECT id, team_id, conversation_id, lag(id) OVER (PARTITION BY conversation_id ORDER BY id),
        CASE number %% 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'complete',
        jsonb_build_array(jsonb_build_object('type', 'text', 'text',
            'Message ' || number || ' about ' || (ARRAY['rivers', 'bridges', 'harbours', 'lanterns'])[number %% 4 + 1]
            || repeat(', and what is said of them by whoever has been there', 4)))
    FROM said
"""  # noqa: S608
_START: Final = 1_700_000_000_000


def fill(
    connection: psycopg.Connection,
    user_id: UUID,
    *,
    conversations: int,
    messages: int,
    longest: int,
    longest_at: int = 1,
) -> UUID:
    """Give an account conversations, one of which is long, and return that one's id.

    Args:
        connection: to the database, past the wall.
        user_id: the account.
        conversations: how many.
        messages: how many messages each holds.
        longest: how many messages the long one holds.
        longest_at: its place in the account's list, from 1.
    """
    given = {
        "at": _START,
        "user_id": user_id,
        "conversations": conversations,
        "messages": messages,
        "longest": longest,
        "longest_at": longest_at,
    }
    connection.execute(_CONVERSATIONS.encode(), given)
    connection.execute(_MESSAGES.encode(), given)
    found = connection.execute(
        "SELECT conversation_id FROM messages JOIN conversations ON conversations.id = conversation_id"
        " WHERE user_id = %s GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
        [user_id],
    ).fetchone()
    assert found is not None  # noqa: S101 - just made
    return found[0]


def account(connection: psycopg.Connection, team_id: UUID) -> UUID:
    """Make an account that nobody signs in to with a password, and return its id."""
    user_id = new_id()
    connection.execute(
        "INSERT INTO users (id, team_id, email, role) VALUES (%s, %s, %s, 'user')",
        [user_id, team_id, f"{user_id}@example.com"],
    )
    return user_id


def team(connection: psycopg.Connection) -> UUID:
    """Make a team and return its id."""
    team_id = new_id()
    connection.execute("INSERT INTO teams (id, name, slug) VALUES (%s, 'Team', %s)", [team_id, str(team_id)])
    return team_id
