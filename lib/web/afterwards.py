"""Work that an answer does not wait for, and whose time it does not tell."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Final

from starlette.background import BackgroundTask
from starlette.responses import Response

from lib.settings import this_place
from lib.unhindered import begin, unhindered

if TYPE_CHECKING:
    from lib.chat.request import Work

ON_LAMBDA: Final = 3.0
"""Seconds after which an answer leaves on Lambda, whether or not its work is done."""


async def answer_first[R: Response](answer: R, work: Coroutine[None, None, None]) -> R:
    """Return an answer that leaves before `work` is done, so that nobody can tell by the clock what it was.

    The request lasts until the work is done, since a platform may halt an instance that has none. Lambda halts it with
    the answer: there the answer leaves after a time that is always the same, which is enough for the work; what is not
    done by then goes on with the next request.
    """
    if this_place().platform == "lambda":
        begin(work)
        await asyncio.sleep(ON_LAMBDA)
    else:
        answer.background = BackgroundTask(unhindered, work)
    return answer


def after[R: Response](answer: R, afterwards: "Sequence[Work]") -> R:
    """Return an answer that leaves before what a turn has left to do, which is done then.

    On Lambda it is begun, and goes on with the instance's next request where the answer was faster.
    """

    async def work() -> None:
        for each in afterwards:
            await unhindered(each())

    if this_place().platform == "lambda":
        begin(work())
    else:
        answer.background = BackgroundTask(work)
    return answer
