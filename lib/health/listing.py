"""What a provider says when it is asked for its models: one rule, for the health routes and for the doctor."""

from typing import Final

from lib.health.fetch import Answer, fetch
from lib.health.probe import Unwell
from lib.providers.models import ModelList

BUSY: Final = 429
UNLISTED: Final = {404, 405, 501}
"""What an endpoint answers that has chat completions and no list of models."""
NOTHING_LISTED: Final = (
    "It lists no models, so which it has is not known: `make doctor ARGS=--complete` asks it for a word."
)


class Unsure(Exception):
    """It answers, and not in a way that shows that a turn would be answered. The message says why, as `Unwell`'s."""


async def ask_for_models(wanted: ModelList, *, seconds: float, most: int) -> Answer:
    """Return the list of a provider's models, the first `most` bytes of it.

    Whether it is a list is judged by how it begins: providers have their own shapes, and some of them a megabyte.

    Raises:
        Unwell: it cannot be reached, refuses our key, fails, or is something else.
        Unsure: it answers, and lists nothing now.
    """
    answer = await fetch(wanted.url, wanted.variables, wanted.headers, seconds=seconds, most=most)
    judge(answer, wanted)
    if not answer.body.lstrip().startswith((b"{", b"[")):
        raise Unwell(f"What answers is no API of a model's provider: correct {wanted.variables}.")
    return answer


def judge(answer: Answer, wanted: ModelList) -> None:
    """Raise what a status other than 200 means, as `ask_for_models` does."""
    if answer.status == BUSY:
        raise Unsure("It takes no more requests for now: see its quota and its billing.")
    if answer.status in UNLISTED and not wanted.always:
        raise Unsure(NOTHING_LISTED)
    if answer.status == 400 and wanted.provider == "gemini":
        raise Unwell(f"It refuses the key with 400: give a valid one in {wanted.variables}.")
    if answer.status != 200:
        raise Unwell(f"It answers with {answer.status}: see {wanted.variables}, and its status page.")
