"""The path that a conversation shows, where a turn leaves it: SQL of any statement that branches.

Every step is a look-up of its own: a join, or all that lies behind a message, might be planned as a walk through all
messages there are. So a branch costs as many look-ups as there are messages whose place it changes.
"""

from typing import Final

from lib.db.messages import BEFORE_ALL, in_order, stretch

# Constants of this module are joined into statements; values only ever go in as parameters (hence noqa: S608).

_TOLD: Final = "id, parent_id, active, role, status, parts, created_at"
_STEP: Final = f"""
    SELECT above.* FROM {{start}} CROSS JOIN LATERAL (
        SELECT {_TOLD} FROM messages WHERE id = {{up}} AND conversation_id = :conversation_id LIMIT 1
    ) AS above
"""  # noqa: S608


def _next(after: str) -> str:
    following = stretch(":conversation_id", than=after, newer=True)
    return f"(SELECT id FROM messages WHERE {following} ORDER BY {in_order(newer=True)} LIMIT 1)"  # noqa: S608


LEAVES_PATH: Final = f"""
    climb AS (
        {_STEP.format(start="asked", up="asked.{stem}")}
        UNION ALL
        {_STEP.format(start="climb", up="climb.parent_id")} WHERE NOT climb.active
    ), fork AS MATERIALIZED (
        SELECT coalesce((SELECT id FROM climb WHERE active), {BEFORE_ALL}) AS id FROM asked
    ), behind AS (
        SELECT {_next("fork.id")} AS id FROM fork
        UNION ALL
        SELECT {_next("behind.id")} FROM behind WHERE behind.id IS NOT NULL
    )
"""  # noqa: S608
"""Items of a `WITH RECURSIVE` that has an item `asked`, whose column `stem` is the message that a branch follows, null
before a first one. `climb` leads from there to `fork`, the first that is shown already, as is all before that. What was
shown so far is `behind` it."""

MOVES_PATH: Final = """
    UPDATE messages SET active = NOT messages.active
    WHERE EXISTS (SELECT FROM conversation) AND messages.id = ANY (ARRAY(
        SELECT id FROM climb WHERE NOT active UNION ALL SELECT id FROM behind WHERE id IS NOT NULL
    ))
"""
"""Shows what leads to the branch, and no more what is behind the fork, if the item `conversation` has a row."""

ALONG_PATH: Final = f"""
    (
        SELECT {_TOLD} FROM climb
        UNION ALL
        (
            SELECT {_TOLD} FROM messages WHERE {stretch(":conversation_id", than="(SELECT id FROM fork)")}
            AND {{which}} ORDER BY {in_order()} LIMIT :limit
        )
    ) AS messages
"""  # noqa: S608
"""A table of what leads to the branch: as many messages before the fork as `:limit` says, if they are `which`."""
