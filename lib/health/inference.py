"""How the models' providers are."""

import asyncio
from typing import Final

import msgspec

from lib.health.fetch import faulted, fetch
from lib.health.probe import INFERENCE_LIMIT, Reading, Unwell, not_configured, timed
from lib.providers.models import ModelList

SLOW: Final = 1.5
BUSY: Final = 429


class _Models(msgspec.Struct):
    data: list[msgspec.Raw] | None = None
    models: list[msgspec.Raw] | None = None


async def read_inference(lists: tuple[ModelList, ...]) -> Reading:
    """Ask every provider for its models, all at once. It is down only when none answers."""
    if not lists:
        return not_configured("No model is configured: set OPENAI_API_KEY, GEMINI_API_KEY or VLLM_ENDPOINT.")
    readings = await asyncio.gather(*(timed(lambda wanted=wanted: _ask(wanted), slow=SLOW) for wanted in lists))
    parts = {wanted.provider: reading for wanted, reading in zip(lists, readings, strict=True)}
    slowest = max(reading.latency_ms or 0.0 for reading in readings)
    well = [name for name, reading in parts.items() if reading.status == "ok"]
    if len(well) == len(parts):
        return Reading("ok", slowest, parts=parts)
    down = all(reading.status == "down" for reading in readings)
    told = " ".join(f"{name}: {reading.detail}" for name, reading in parts.items() if reading.detail)
    return Reading("down" if down else "degraded", slowest, told, parts=parts)


async def _ask(wanted: ModelList) -> Reading | None:
    status, body = await fetch(wanted.url, wanted.headers, seconds=INFERENCE_LIMIT)
    if status == BUSY:
        return Reading("degraded", detail="It takes no more requests for now.")
    if status != 200:
        # Gemini refuses a key that is wrong with 400.
        raise Unwell(faulted(status, variables=wanted.variables))
    if not _lists_models(body):
        raise Unwell(f"What answers there is no model's provider: see {wanted.variables}.")
    return None


def _lists_models(body: bytes) -> bool:
    try:
        listed = msgspec.json.decode(body, type=_Models)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return listed.data is not None or listed.models is not None
