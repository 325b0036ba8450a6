"""What every way of asking has in common: who asks, what counts for whom, and what makes a request a retry."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Final

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from lib.auth.callers import Caller
from lib.auth.limits import of_turn
from lib.chat.events import Failed, Finished, TurnEvent
from lib.chat.request import TurnLimit, TurnRequest
from lib.chat.turn import run_turn
from lib.encoders.base import Encoder
from lib.errors import Interrupted, InvalidRequest, ParleyError, Unauthenticated, error_named
from lib.turns import TurnKey
from lib.web.address import client_address
from lib.web.instance import Instance
from lib.web.leaving import while_client_stays
from lib.web.limits import tell
from lib.web.stream import EventStream

LONGEST_KEY: Final = 255
SHORTEST_KEY_OF_A_GUEST: Final = 20
"""Characters. Whoever repeats a guest's request has its answer, so its key has to be as hard to guess as that."""


def refuse_strange_guests(caller: Caller, instance: Instance) -> None:
    """Refuse a guest where guests may not ask.

    Raises:
        Unauthenticated: this one may not.
    """
    if caller.user_id is None and not instance.settings.guest_chat and not caller.internal:
        raise Unauthenticated


def limit_of(caller: Caller, instance: Instance, request: Request) -> TurnLimit | None:
    """Return for whom a turn counts. Our own servers may ask as often as they like."""
    if caller.internal:
        return None
    address = client_address(request.scope)
    hit = of_turn(instance.settings.rate_limits, address=address, user_id=caller.user_id)
    return hit and TurnLimit(hit, partial(tell, request))


def key_of(caller: Caller, request: Request, body: BaseModel) -> TurnKey | None:
    """Return what makes this request the same as another: its `Idempotency-Key`, for this caller, and what it asks.

    Raises:
        InvalidRequest: the key is too long, or a guest's is too short to be nobody else's.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= LONGEST_KEY:
        raise InvalidRequest(f"An Idempotency-Key has 1 to {LONGEST_KEY} characters.")
    if caller.user_id is None and len(key) < SHORTEST_KEY_OF_A_GUEST:
        raise InvalidRequest(f"A guest's Idempotency-Key has at least {SHORTEST_KEY_OF_A_GUEST} characters.")
    ids = "".join(f"{name}={value} " for name, value in request.path_params.items())
    asked = body.model_dump_json(exclude={"history"}, warnings="none")
    return TurnKey(_hash(f"{caller.team_id} {caller.user_id} {key}"), _hash(ids + asked))


async def streamed(turn: TurnRequest, encoder: Encoder, instance: Instance) -> Response:
    """Return a turn as a stream.

    Raises:
        ParleyError: what the turn refuses.
    """
    events = run_turn(turn, instance.turn)
    first = await anext(events)
    return EventStream(first, events, encoder, course=turn.course, finishes=_finishes(turn, instance))


async def whole(turn: TurnRequest, encoder: Encoder, instance: Instance, request: Request) -> Finished:
    """Run a turn to its end and return its last event. The encoder is shown every one.

    Raises:
        ParleyError: the one the turn failed with.
    """
    events = run_turn(turn, instance.turn)
    first = await anext(events)
    on_leave = _go_on if _finishes(turn, instance) else None
    last = await while_client_stays(_last_of(first, events, encoder), request.receive, on_leave=on_leave)
    match last:
        case Finished():
            return last
        case Failed(code, detail, retry_after=retry_after):
            raise error_named(code)(detail, retry_after=retry_after)
        case None:
            raise Interrupted
        case _:
            raise ParleyError


def _go_on() -> None:
    """Do nothing: the turn is finished for whoever asks for it later."""


def _finishes(turn: TurnRequest, instance: Instance) -> bool:
    """Tell whether a turn that has begun goes on without its client. One that tells another's events has no need to."""
    return instance.settings.disconnect == "finish" and not turn.course.repeats


async def _last_of(first: TurnEvent, rest: AsyncGenerator[TurnEvent], encoder: Encoder) -> TurnEvent:
    encoder.encode(first)
    last = first
    async with aclosing(rest):
        async for event in rest:
            encoder.encode(event)
            last = event
    return last


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
