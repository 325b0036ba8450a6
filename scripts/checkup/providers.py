"""The models' providers: each is really asked."""

import asyncio
import time
from contextlib import aclosing
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from lib.errors import ProviderError, ProviderRateLimited, ProviderRefused, ProviderTimeout
from lib.health.fetch import fetch
from lib.health.listing import NOTHING_LISTED, Unsure, ask_for_models, judge
from lib.health.probe import Unwell
from lib.providers import get_providers
from lib.providers.base import PromptMessage, Provider, Text
from lib.providers.fallback import Fallback, Limits
from lib.providers.models import ModelList, model_lists
from lib.settings import Settings
from scripts.checkup.finding import PATIENCE, Finding, bounded

QUESTION: Final = PromptMessage("user", "Answer with the word yes.")
LONGEST: Final = 16 * 1024 * 1024
"""Bytes of a list of models: it is read whole, to see whether ours is in it."""


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model] | None = None


async def check_providers(settings: Settings, *, complete: bool) -> list[Finding]:
    """Return what there is to say of each provider.

    Args:
        settings: which they are.
        complete: whether each is asked for an answer of one word, which costs a few tokens.
    """
    entries = settings.providers or settings.configured_providers
    if not entries:
        said = "No model is configured, so no chat is answered: set OPENAI_API_KEY, GEMINI_API_KEY or VLLM_ENDPOINT."
        return [Finding("provider", "failed", said)]
    lists = {listed.provider: listed for listed in model_lists(settings)}
    checks = [
        bounded(f"provider: {name}", _check(f"provider: {name}", lists[name], provider, complete=complete))
        for name, provider in zip((entry.partition(":")[0] for entry in entries), get_providers(settings), strict=True)
    ]
    return [finding for findings in await asyncio.gather(*checks) for finding in findings]


async def _check(check: str, listed: ModelList, provider: Provider, *, complete: bool) -> list[Finding]:
    try:
        found = await (_gemini if listed.provider == "gemini" else _compatible)(check, listed, provider.model)
    except Unsure as unsure:
        found = Finding(check, "warning", str(unsure))
    return [found, await _answer(check, provider)] if complete and found.status != "failed" else [found]


async def _compatible(check: str, listed: ModelList, model: str) -> Finding:
    answer = await ask_for_models(listed, seconds=PATIENCE, most=LONGEST)
    names = _names(answer.body)
    if model and model not in names:
        raise Unwell(f"It has no model {model!r}: name one that it has in CHAT_MODEL or PROVIDERS.")
    if not names:
        raise Unwell("It serves no model: load one there.")
    return Finding(check, "ok", f"has {model or names[0]}, {answer.took_ms:.0f} ms")


def _names(body: bytes) -> list[str]:
    """Return the names in a list as OpenAI has it, or in a bare one, as some others do."""
    try:
        listed = msgspec.json.decode(body, type=_Models | list[_Model])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unsure(NOTHING_LISTED) from None
    models = listed.data if isinstance(listed, _Models) else listed
    if models is None:
        raise Unsure(NOTHING_LISTED)
    return [one.id for one in models]


async def _gemini(check: str, listed: ModelList, model: str) -> Finding:
    url = f"{urlsplit(listed.url)._replace(query='').geturl()}/{quote(model, safe='')}"
    answer = await fetch(url, listed.variables, listed.headers, seconds=PATIENCE)
    if answer.status == 404:
        raise Unwell(f"It has no model {model!r}: name one that it has in CHAT_MODEL or PROVIDERS.")
    judge(answer, listed)
    return Finding(check, "ok", f"has {model}, {answer.took_ms:.0f} ms")


async def _answer(check: str, provider: Provider) -> Finding:
    """Ask for a word, and stop at the first piece of it."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    asked = Fallback([provider], Limits.of(15), began=loop.time())
    try:
        async with aclosing(asked.stream((QUESTION,))) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, Text):
                    break
    except ProviderError as error:
        raise Unwell(_advice(error, provider.model)) from None
    return Finding(check, "ok", f"answers, first token after {(time.perf_counter() - began) * 1000:.0f} ms")


def _advice(error: ProviderError, model: str) -> str:
    match error:
        case ProviderRefused():
            return f"It refuses to answer: see whether the key may use {model}."
        case ProviderRateLimited():
            return "It takes no more requests for now: see its quota and its billing."
        case ProviderTimeout():
            return "It does not begin to answer in time: try again, or choose a faster model."
        case _:
            return f"It fails to answer with {model}: see the line above this table for its own words."
