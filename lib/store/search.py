"""Full-text search over what was said in one's own conversations, and their titles.

It reads the messages of one's own conversations and none of anybody else's: under row-level security a full-text index
is of no use, since the match is not leakproof. So it costs as much as one has said, and runs as a report.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import text

from lib.db.session import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """Something that was found.

    Attributes:
        conversation_id: in which conversation.
        title: what that is called.
        is_archived: whether it was put away.
        message_id: the message; None where it is the title that fits.
        role: who said it; None likewise.
        active: whether the message is on the path that its conversation shows; None likewise.
        timestamp: when it was said; of a title, when something was last said in its conversation.
        snippet: where the text fits best, as plain text.
        highlights: what fits in it, as pairs of a first character and the one after the last.
    """

    conversation_id: UUID
    title: str
    is_archived: bool
    message_id: UUID | None
    role: Literal["user", "assistant"] | None
    active: bool | None
    timestamp: datetime
    snippet: str
    highlights: tuple[tuple[int, int], ...]


async def search(
    connection: Connection, *, team_id: UUID, user_id: UUID, query: str, limit: int, offset: int
) -> tuple[Hit, ...]:
    """Return what fits a query best: words, "phrases", `or`, and `-without`. Words are compared by their English stems.

    Args:
        connection: of the owner, for a report.
        team_id: their team.
        user_id: who searches.
        query: what for. Nothing fits one without a word that says something.
        limit: how many at most.
        offset: how many to pass over.
    """
    given = {
        "team_id": team_id,
        "user_id": user_id,
        "query": query,
        "limit": limit,
        "offset": offset,
        "marks": _START + _STOP,
        "options": _OPTIONS,
    }
    return tuple(_hit(row) for row in await connection.execute(_SEARCH, given))


def _hit(row: Any) -> Hit:
    snippet, highlights = _unmarked(row.marked)
    fields = {name: getattr(row, name) for name in _FIELDS}
    return Hit(**fields, snippet=snippet, highlights=highlights)


def _unmarked(marked: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return a text without the marks, and what was between them."""
    first, *rest = marked.split(_START)
    snippet, highlights = first, list[tuple[int, int]]()
    for piece in rest:
        inside, _, outside = piece.partition(_STOP)
        highlights.append((len(snippet), len(snippet) + len(inside)))
        snippet += inside + outside
    return snippet, tuple(highlights)


# Of Unicode's private use: the text itself is searched without them, so they mark nothing but what fits.
_START: Final = "\ue000"
_STOP: Final = "\ue001"
_OPTIONS: Final = f"StartSel={_START}, StopSel={_STOP}, MinWords=12, MaxWords=36"

_FIELDS: Final = tuple(name for name in Hit.__dataclass_fields__ if name not in {"snippet", "highlights"})

# What fits by its stems; words as they were typed put it further up. OFFSET 0 keeps the look-ups of one conversation's
# messages apart, which might else be planned as a walk through everybody's.
_SEARCH: Final = text("""
    WITH wanted AS MATERIALIZED (
        SELECT stems, stems || websearch_to_tsquery('simple', :query) AS words
        FROM (SELECT websearch_to_tsquery('english', :query) AS stems) AS typed
        WHERE numnode(stems) > 0
    ), own AS MATERIALIZED (
        SELECT conversations.id, conversations.title, conversations.is_archived, conversations.updated_at
        FROM wanted, conversations
        WHERE conversations.user_id = :user_id AND conversations.team_id = :team_id
    ), hit AS (
        SELECT own.id AS conversation_id, said.id AS message_id, said.rank
        FROM wanted, own, LATERAL (
            SELECT id, ts_rank(search, wanted.words, 1) AS rank FROM messages
            WHERE conversation_id = own.id AND search @@ wanted.stems OFFSET 0
        ) AS said
        UNION ALL
        SELECT own.id, NULL, ts_rank(titled.search, wanted.words, 1)
        FROM wanted, own, LATERAL (
            SELECT to_tsvector('english', own.title) || to_tsvector('simple', own.title) AS search OFFSET 0
        ) AS titled
        WHERE titled.search @@ wanted.stems
    ), best AS MATERIALIZED (
        SELECT * FROM hit ORDER BY rank DESC, coalesce(message_id, conversation_id) DESC LIMIT :limit OFFSET :offset
    )
    SELECT own.id AS conversation_id, own.title, own.is_archived, messages.id AS message_id, messages.role,
        messages.active, coalesce(messages.finished_at, messages.created_at, own.updated_at) AS timestamp,
        ts_headline(
            'english',
            translate(
                CASE WHEN best.message_id IS NULL THEN own.title
                    ELSE left(coalesce(messages.parts #>> '{0,text}', ''), 50000) END,
                :marks, ''
            ),
            wanted.stems, :options
        ) AS marked
    FROM best JOIN own ON own.id = best.conversation_id CROSS JOIN wanted
        LEFT JOIN messages ON messages.id = best.message_id
    ORDER BY best.rank DESC, coalesce(best.message_id, best.conversation_id) DESC
""")
