"""The turn: one question answered, the same for every endpoint and protocol.

    load history | retrieve  ->  prompt  ->  provider  ->  persist  ->  log  ->  retain

No step knows the wire, and none holds a database connection while tokens stream.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, assert_never
from uuid import UUID

from lib.chat.events import Failed, Finished, ReasoningDelta, Source, Sources, Started, Status, TurnEvent, Usage
from lib.chat.persist import keep_answer, keep_question
from lib.chat.progress import Found, Progress, storable
from lib.chat.prompt import build_prompt
from lib.chat.report import FIRST_TOKEN, model_call, note_turn
from lib.chat.retention import retain
from lib.db.limits import Allowance, Hit
from lib.db.session import Database
from lib.db.tenant import Tenant
from lib.errors import ParleyError, ProviderError, RetrievalUnavailable
from lib.ids import new_id, unguessable_id
from lib.providers.base import PromptMessage, Provider, Reasoning, Text, TokenUsage
from lib.providers.fallback import Fallback, Limits
from lib.rag.retrieve import Retriever, Scope
from lib.store.turns import Begun, Outcome, TurnRecord
from lib.unhindered import unhindered

NO_HISTORY: Final = Status("The conversation so far cannot be read right now; answering without it.", "warning")
NO_SEARCH: Final = Status("The documents cannot be searched right now; answering without them.", "warning")

_log = logging.getLogger("parley.chat")


@dataclass(frozen=True, slots=True)
class TurnLimit:
    """For whom a turn counts, and who is told what is left then."""

    hit: Hit
    tell: Callable[[Allowance], None]


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What is asked, and by whom: `tenant` is the team, and who must still be signed in; `user_id` is None for a guest.

    `selected_text` is a passage that the reader marked, to be answered from instead of a search within `scope`. Without
    a `limit` there may be any number of turns.
    """

    tenant: Tenant
    user_id: UUID | None
    content: str
    conversation_id: UUID | None = None
    selected_text: str | None = None
    scope: Scope = field(default_factory=Scope)
    limit: TurnLimit | None = None


@dataclass(frozen=True, slots=True)
class TurnDeps:
    """What a turn works with."""

    database: Database
    retriever: Retriever | None
    providers: tuple[Provider, ...]
    limits: Limits
    retention_conversations: int


async def run_turn(request: TurnRequest, deps: TurnDeps) -> AsyncGenerator[TurnEvent]:
    """Answer, as events: `Started` first, `Finished` or `Failed` last.

    The user's message is committed before the provider is asked, and the answer before `Finished` says so. Closing the
    generator cancels the provider and keeps what had arrived as interrupted. Without a database the turn goes on and
    its events say `saved=False`.

    Raises:
        ConversationNotFound, RateLimited, Unauthenticated: before the first event; nothing is stored.
    """
    turn, progress = _record(request), Progress()
    searching = asyncio.create_task(_retrieve(request, deps.retriever))
    try:
        begun = await _begin(turn, request, deps)
        progress.begun = begun is not None
        try:
            yield Started(turn.conversation_id, turn.answer_id, saved=progress.begun)
            if begun is None and not turn.opens:
                yield NO_HISTORY
            progress.passages_given(await searching)
            if progress.found.retrieval == "unavailable":
                yield NO_SEARCH
            yield Sources(progress.found.sources, progress.found.retrieval)
            prompt = build_prompt(begun.history if begun else (), progress.found.sources, request.content)
            async with aclosing(_answer(prompt, deps, progress)) as events:
                async for event in events:
                    yield event
        except (asyncio.CancelledError, GeneratorExit):
            await _keep(turn, deps, progress, "interrupted")
            raise
        except Exception as error:
            yield await _fail(turn, error, deps, progress)
        else:
            saved = await _keep(turn, deps, progress, "complete")
            yield Finished(
                progress.text, progress.cited, progress.usage, progress.model or "", saved, datetime.now(UTC)
            )
            if saved and turn.user_id and turn.opens:
                newest = deps.retention_conversations
                await unhindered(retain(deps.database, team_id=turn.team_id, user_id=turn.user_id, newest=newest))
    finally:
        searching.cancel()


async def _begin(turn: TurnRecord, request: TurnRequest, deps: TurnDeps) -> Begun | None:
    """Keep the question and count the turn; say what is left to whoever wants to know."""
    limit = request.limit
    begun = await keep_question(deps.database, turn, request.tenant, hit=limit and limit.hit)
    if limit and begun and begun.allowance:
        limit.tell(begun.allowance)
    return begun


def _record(request: TurnRequest) -> TurnRecord:
    """Give the turn its ids, so that whoever keeps it, now or later, keeps the same."""
    return TurnRecord(
        team_id=request.tenant.team_id,
        user_id=request.user_id,
        conversation_id=request.conversation_id or unguessable_id(),
        question_id=new_id(),
        answer_id=new_id(),
        question=request.content,
        opens=request.conversation_id is None,
    )


async def _retrieve(request: TurnRequest, retriever: Retriever | None) -> Found:
    """Find passages, or take the one the reader marked."""
    if request.selected_text is not None:
        return Found((Source(1, "Selected text", (), None, None, None, None, None, request.selected_text),), "used")
    if retriever is None:
        return Found()
    try:
        passages = await retriever.search(request.content, team_id=request.tenant.team_id, scope=request.scope)
    except RetrievalUnavailable:
        return Found((), "unavailable")
    sources = tuple(
        Source(index, p.title, p.headings, p.uri, p.document_id, p.start, p.end, p.score, p.text)
        for index, p in enumerate(passages, 1)
    )
    return Found(sources, "used" if sources else "empty")


async def _answer(prompt: tuple[PromptMessage, ...], deps: TurnDeps, progress: Progress) -> AsyncGenerator[TurnEvent]:
    """Ask the provider and yield the answer, its false citations left out.

    Raises:
        ProviderError: it failed, or had nothing to say.
    """
    provider = Fallback(deps.providers, deps.limits, began=progress.started_at)
    with model_call(provider, progress) as span:
        async with aclosing(provider.stream(prompt)) as chunks:
            async for chunk in chunks:
                if progress.begins(provider.model):
                    span.add_event(FIRST_TOKEN)
                match chunk:
                    case Text(text):
                        if shown := progress.said(text):
                            yield shown
                    case Reasoning(text):
                        yield ReasoningDelta(storable(text))
                    case TokenUsage(read, written):
                        progress.usage = Usage(read, written)
                        yield progress.usage
                    case _:
                        assert_never(chunk)
        if rest := progress.ended():
            yield rest
        if not progress.text:
            raise ProviderError("The model gave no answer.")


async def _fail(turn: TurnRecord, error: Exception, deps: TurnDeps, progress: Progress) -> Failed:
    """Keep what arrived of a turn that broke, and return what the caller is told."""
    if not isinstance(error, ParleyError):
        _log.error("turn failed", exc_info=error)
        error = ParleyError()
    saved = await _keep(turn, deps, progress, "failed", error.code)
    return Failed(error.code, str(error), progress.text, saved, error.retry_after)


async def _keep(
    turn: TurnRecord, deps: TurnDeps, progress: Progress, outcome: Outcome, error_code: str | None = None
) -> bool:
    """Keep what the turn came to, report it, and return whether it is kept."""
    result = progress.result(outcome, error_code)
    note_turn(turn, result, saved=None)  # in case nobody waits for the rest
    saved = await keep_answer(deps.database, turn, result, begun=progress.begun)
    note_turn(turn, result, saved=saved)
    return saved
