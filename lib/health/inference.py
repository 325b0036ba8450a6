"""How the models' providers are."""

import asyncio
from typing import Final

from lib.health.listing import Unsure, ask_for_models
from lib.health.probe import INFERENCE_LIMIT, Reading, joined, not_configured, timed
from lib.providers.models import ModelList

SLOW: Final = 1.5
BEGINNING: Final = 64 * 1024
"""Bytes read of a list. Most are shorter, and one that is read to its end leaves its connection for the next look."""


async def read_inference(lists: tuple[ModelList, ...]) -> Reading:
    """Ask every provider for its models, all at once. It is down only when none answers."""
    if not lists:
        return not_configured("No model is configured: set OPENAI_API_KEY, GEMINI_API_KEY or VLLM_ENDPOINT.")
    readings = await asyncio.gather(*(timed(lambda wanted=wanted: _ask(wanted), slow=SLOW) for wanted in lists))
    parts = {wanted.provider: reading for wanted, reading in zip(lists, readings, strict=True)}
    statuses = {reading.status for reading in readings}
    return joined(parts, "ok" if statuses == {"ok"} else "down" if statuses == {"down"} else "degraded")


async def _ask(wanted: ModelList) -> Reading | None:
    try:
        await ask_for_models(wanted, seconds=INFERENCE_LIMIT, most=BEGINNING)
    except Unsure as unsure:
        return Reading("degraded", detail=str(unsure))
    return None
