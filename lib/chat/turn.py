"""The turn: one question answered, the same for every endpoint and protocol.

    load history | retrieve  ->  prompt  ->  provider  ->  persist  ->  log  ->  retain

No step knows the wire, and none holds a database connection while tokens stream.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final, assert_never

from lib.agents.answering import Answering, answering
from lib.chat.beginning import begin_turn, record
from lib.chat.ending import fail, finish, keep
from lib.chat.events import History, Source, Sources, Started, Status, TurnEvent, Usage
from lib.chat.progress import Found, Progress
from lib.chat.prompt import build_prompt
from lib.chat.report import FIRST_TOKEN, model_call
from lib.chat.request import Course, TurnDeps, TurnRequest
from lib.errors import NoProvider, ProviderError, RetrievalUnavailable
from lib.providers.base import DEFAULTS, Chunk, PromptMessage, Reasoning, Text, TokenUsage
from lib.providers.fallback import AnswerStopped, Fallback
from lib.turns import Begun, SaidMessage, TurnRecord

NO_HISTORY: Final = Status("The conversation so far cannot be read right now; answering without it.", "warning")
NO_SEARCH: Final = Status("The documents cannot be searched right now; answering without them.", "warning")
ASKING_WEBHOOK: Final = Status("Sending request to n8n webhook...")


async def run_turn(request: TurnRequest, deps: TurnDeps) -> AsyncGenerator[TurnEvent]:
    """Answer, as events: `Started` first, `Finished` or `Failed` last.

    The user's message is committed before the provider is asked, and the answer before `Finished` says so. Closing the
    generator cancels the provider and keeps what had arrived as interrupted. Without a database the turn goes on, its
    events say `saved=False`, and it waits in the spool.

    Raises:
        ParleyError: before the first event, as `begin_turn`; nothing is stored.
    """
    if request.conversation_id is None and request.agent_id is None and not deps.providers:
        raise NoProvider
    turn, progress = record(request), Progress()
    searching = asyncio.create_task(_retrieve(turn, request, deps)) if request.searches_at_once else None
    try:
        beginning = await begin_turn(turn, request, deps)
        if beginning.repeats is not None:
            request.course.repeats = True
            async with aclosing(beginning.repeats) as events:
                async for event in events:
                    yield event
            return
        turn, begun = beginning.turn, beginning.begun
        note = _noting(turn, begun, request.course, deps, progress)
        try:
            progress.history, history = _history(turn, begun, request)
            yield note(Started(turn.conversation_id, turn.answer_id, saved=progress.begun, history=progress.history))
            if progress.history == "unavailable":
                yield note(NO_HISTORY)
            who = _who(turn, begun, deps)
            if who.is_webhook:
                yield note(ASKING_WEBHOOK)
            found = Found() if not who.searches else await (searching or _retrieve(turn, request, deps))
            progress.passages_given(found)
            if found.retrieval == "unavailable":
                yield note(NO_SEARCH)
            yield note(Sources(found.sources, found.retrieval))
            prompt = _prompt(turn, history, who, found)
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
        deps.keys.remove(turn)
        if searching is not None:
            searching.cancel()


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
        agent, hosts = deps.known_agents.recall(turn) or (None, frozenset[str]())
    else:
        agent, hosts = begun.agent, begun.hosts
        deps.known_agents.remember(turn, agent, hosts)
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


def _history(turn: TurnRecord, begun: Begun | None, request: TurnRequest) -> tuple[History, tuple[SaidMessage, ...]]:
    """Return what was said before, and where that comes from."""
    if begun is not None or turn.opens:
        return "loaded", begun.history if begun else ()
    return ("unavailable", ()) if request.history is None else ("sent", request.history)


def _prompt(
    turn: TurnRecord, history: tuple[SaidMessage, ...], who: Answering, found: Found
) -> tuple[PromptMessage, ...]:
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
        try:
            async with aclosing(provider.stream(prompt, who.options)) as chunks:
                async for chunk in chunks:
                    if progress.begins(provider.model):
                        span.add_event(FIRST_TOKEN)
                    if (event := _told(chunk, progress)) is not None:
                        yield event
        except Exception:
            if rest := progress.ended():  # it was said, and is kept
                yield rest
            raise
        if rest := progress.ended():
            yield rest
        if not progress.text:
            raise ProviderError("The model gave no answer.")


def _told(chunk: Chunk, progress: Progress) -> TurnEvent | None:
    """Note a piece of the answer, and return what its reader is told of it, if anything yet."""
    match chunk:
        case Text(text):
            return progress.said(text)
        case Reasoning(text):
            return progress.thought(text)
        case TokenUsage(read, written):
            progress.usage = Usage(read, written)
            return progress.usage
        case _:
            assert_never(chunk)
