"""What a check found, and how checks run: bounded in time, and none by the failure of another."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lib.health.probe import Unwell

Status = Literal["ok", "warning", "failed"]

LIMIT: Final = 20.0
"""Seconds that all checks of one thing may take together. What they ask gives up sooner, and says so better."""

PATIENCE: Final = 10.0
"""Seconds for one request."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table.

    Attributes:
        check: what was looked at.
        status: ok; a warning, with which Parley runs; or failed.
        detail: what is so; of a failure also what to do about it.
    """

    check: str
    status: Status
    detail: str


async def bounded(check: str, findings: Awaitable[Sequence[Finding]], limit: float = LIMIT) -> Sequence[Finding]:
    """Return what a check finds, or that it failed or took too long."""
    try:
        async with asyncio.timeout(limit):
            return await findings
    except Unwell as error:
        return [Finding(check, "failed", str(error))]
    except TimeoutError:
        return [Finding(check, "failed", f"There was no answer within {limit:g} s: see whether it can be reached.")]
    except Exception as error:  # whatever it is, the other checks go on; its words may hold what is secret
        return [Finding(check, "failed", f"The check itself broke with {type(error).__name__}: please report it.")]
