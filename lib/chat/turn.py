"""The turn: one question answered, the same for every endpoint and protocol.

    load history | retrieve  ->  prompt  ->  provider  ->  persist  ->  log  ->  retain

No step knows the wire, and none holds a database connection while tokens stream.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, assert_never

from lib.agents.answering import Answering, answering
from lib.chat.ending import fail, finish, keep
from lib.chat.events import Source, Sources, Started, Status, TurnEvent, Usage
from lib.chat.persist import keep_question
from lib.chat.progress import Found, Progress
from lib.chat.prompt import build_prompt
from lib.chat.replay import Followed, follow
from lib.chat.report import FIRST_TOKEN, model_call
from lib.chat.request import Course, TurnDeps, TurnRequest
from lib.errors import DatabaseUnavailable, NoProvider, ParleyError, ProviderError, RetrievalUnavailable
from lib.ids import new_id, unguessable_id
from lib.providers.base import DEFAULTS, PromptMessage, Reasoning, Text, TokenUsage
from lib.providers.fallback import AnswerStopped, Fallback
from lib.turns import Begun, TurnRecord
from lib.unhindered import begin

NO_HISTORY: Final = Status("The conversation so far cannot be read right now; answering without it.", "warning")
NO_SEARCH: Final = Status("The documents cannot be searched right now; answering without them.", "warning")
ASKING_WEBHOOK: Final = Status("Sending request to n8n webhook...")
SAVING: Final = 15.0
"""Seconds beyond the longest turn for which a conversation waits for its answer to be saved."""


async def run_turn(request: TurnRequest, deps: TurnDeps) -> AsyncGenerator[TurnEvent]:
    """Answer, as events: `Started` first, `Finished` or `Failed` last.

    The user's message is committed before the provider is asked, and the answer before `Finished` says so. Closing the
    generator cancels the provider and keeps what had arrived as interrupted. Without a database the turn goes on and
    its events say `saved=False`.

    Raises:
        ParleyError: before the first event, as `keep_question`; nothing is stored.
    """
    if request.conversation_id is None and request.agent_id is None and not deps.providers:
        raise NoProvider
    turn, progress = _record(request), Progress()
    searching = asyncio.create_task(_retrieve(turn, request, deps)) if request.searches_at_once else None
    try:
        turn, begun = await _begin(turn, request, deps)
        if begun and begun.repeats:
            request.course.repeats = True
            async with aclosing(_again(begun, request, deps)) as events:
                async for event in events:
                    yield event
            return
        if begun and begun.question is not None:
            turn = replace(turn, question=begun.question)
        note = _noting(turn, begun, request.course, deps, progress)
        try:
            yield note(Started(turn.conversation_id, turn.answer_id, saved=progress.begun))
            if begun is None and not turn.opens:
                yield note(NO_HISTORY)
            who = _who(turn, begun, deps)
            if who.is_webhook:
                yield note(ASKING_WEBHOOK)
            found = Found() if not who.searches else await (searching or _retrieve(turn, request, deps))
            progress.passages_given(found)
            if found.retrieval == "unavailable":
                yield note(NO_SEARCH)
            yield note(Sources(found.sources, found.retrieval))
            prompt = _prompt(turn, begun, who, found)
            async with aclosing(_answer(prompt, who, deps, progress)) as events:
                async for event in events:
                    yield note(event)
        except AnswerStopped:
            yield await finish(turn, begun, request, deps, progress, "stopped")
        except (asyncio.CancelledError, GeneratorExit):
            await keep(turn, deps, progress, "interrupted")
            raise
        except Exception as error:
            yield await fail(turn, error, deps, progress)
        else:
            yield await finish(turn, begun, request, deps, progress, "complete")
    finally:
        if searching is not None:
            searching.cancel()


async def _begin(turn: TurnRecord, request: TurnRequest, deps: TurnDeps) -> tuple[TurnRecord, Begun | None]:
    """Keep the question and count the turn; say what is left to whoever wants to know."""
    limit = request.limit
    hit, busy = limit and limit.hit, deps.limits.whole + SAVING
    keeping = begin(keep_question(deps.database, turn, request.tenant, busy=busy, hit=hit))
    try:
        turn, begun = await asyncio.shield(keeping)
        if begun is None and request.with_agent and deps.known_agents.recall(turn.conversation_id) is None:
            raise DatabaseUnavailable
    except asyncio.CancelledError:
        begin(_abandon(keeping, deps))
        raise
    if limit and begun and begun.allowance:
        limit.tell(begun.allowance)
    return turn, begun


async def _abandon(keeping: "asyncio.Task[tuple[TurnRecord, Begun | None]]", deps: TurnDeps) -> None:
    """End a turn whose client left while its question was being kept."""
    with suppress(ParleyError):
        turn, begun = await keeping
        if begun and not begun.repeats:
            await keep(turn, deps, Progress(begun=True), "interrupted")


def _again(begun: Begun, request: TurnRequest, deps: TurnDeps) -> AsyncGenerator[TurnEvent]:
    """Return the events of the turn that this one repeats."""
    assert begun.repeats is not None  # noqa: S101 - asked by the caller
    repeats = begun.repeats
    followed = Followed(request.tenant, request.user_id, repeats.conversation_id, repeats.answer_id)
    return follow(deps.database, followed)


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
        agent_id=request.agent_id,
        branch=request.branch,
        key=request.key,
    )


def _noting(
    turn: TurnRecord, begun: Begun | None, course: Course, deps: TurnDeps, progress: Progress
) -> Callable[[TurnEvent], TurnEvent]:
    """Return what passes events on and notes them, where others can find them: in an answer that has a row."""
    progress.begun = begun is not None
    progress.agent_id = begun.agent.id if begun and begun.agent else None
    if begun is None:
        return _only_pass

    def stop() -> None:
        course.stopped = True
        progress.stop()

    return deps.under_way.begins(turn.answer_id, turn.team_id, stop).add


def _only_pass(event: TurnEvent) -> TurnEvent:
    return event


def _who(turn: TurnRecord, begun: Begun | None, deps: TurnDeps) -> Answering:
    """Return who answers: the conversation's agent, as far as anybody knows, else the deployment's own models."""
    if begun is None:
        agent, hosts = deps.known_agents.recall(turn.conversation_id) or (None, frozenset[str]())
    else:
        agent, hosts = begun.agent, begun.hosts
        deps.known_agents.remember(turn.conversation_id, agent, hosts)
    if agent is None:
        if not deps.providers:
            raise NoProvider
        return Answering(providers=deps.providers, options=DEFAULTS, system_prompt="", searches=True, is_webhook=False)
    return answering(
        agent,
        deployment=deps.providers,
        settings=deps.settings,
        seal=deps.seal(),
        conversation_id=turn.conversation_id,
        allowed_hosts=hosts,
    )


async def _retrieve(turn: TurnRecord, request: TurnRequest, deps: TurnDeps) -> Found:
    """Find passages, or take the one the reader marked."""
    if request.selected_text is not None:
        return Found((Source(1, "Selected text", (), None, None, None, None, None, request.selected_text),), "used")
    if deps.retriever is None:
        return Found()
    try:
        passages = await deps.retriever.search(turn.question, team_id=turn.team_id, scope=request.scope)
    except RetrievalUnavailable:
        return Found((), "unavailable")
    sources = tuple(
        Source(index, p.title, p.headings, p.uri, p.document_id, p.start, p.end, p.score, p.text)
        for index, p in enumerate(passages, 1)
    )
    return Found(sources, "used" if sources else "empty")


def _prompt(turn: TurnRecord, begun: Begun | None, who: Answering, found: Found) -> tuple[PromptMessage, ...]:
    history = begun.history if begun else ()
    return build_prompt(history, found.sources, turn.question, instructions=who.system_prompt, at=datetime.now(UTC))


async def _answer(
    prompt: tuple[PromptMessage, ...], who: Answering, deps: TurnDeps, progress: Progress
) -> AsyncGenerator[TurnEvent]:
    """Ask the provider and yield the answer, its false citations left out.

    Raises:
        AnswerStopped: its reader wants no more of it.
        ProviderError: it failed, or had nothing to say.
    """
    provider = Fallback(who.providers, deps.limits, began=progress.started_at, again=not who.is_webhook)
    progress.asks(provider)
    with model_call(provider, progress) as span:
        async with aclosing(provider.stream(prompt, who.options)) as chunks:
            async for chunk in chunks:
                if progress.begins(provider.model):
                    span.add_event(FIRST_TOKEN)
                match chunk:
                    case Text(text):
                        if shown := progress.said(text):
                            yield shown
                    case Reasoning(text):
                        yield progress.thought(text)
                    case TokenUsage(read, written):
                        progress.usage = Usage(read, written)
                        yield progress.usage
                    case _:
                        assert_never(chunk)
        if rest := progress.ended():
            yield rest
        if not progress.text:
            raise ProviderError("The model gave no answer.")
